"""Room responses, simulated or measured, and their convolution with talkers."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.simulation.pool import audio_files, read_records

# Ranges of the simulated shoebox rooms, in metres and seconds: offices and living rooms.
SIZE = ((3.0, 3.0, 2.4), (8.0, 7.0, 3.5))
REVERBERATION = (0.2, 0.6)
DISTANCE = (0.5, 2.5)
WALL = 0.4  # least distance of a microphone or mouth from a wall
LEVEL = 0.9  # of the direct path in the file
AIR = 32  # samples kept before the direct path


@dataclasses.dataclass(frozen=True)
class RoomResponse:
    """One response of a room; the talkers of a mixture have different responses of one room."""

    room: str
    path: str


def reverberate(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Convolves samples with a room response.

    The largest value of the response is taken as its direct path. The part before it is the travel time of the sound
    (and ringing of filters), so the output is shifted by it and the onset of the talker does not change. The output is
    scaled to the energy of the input, so the level does not change either.

    Args:
        samples: (T,) float32.
        response: (R,) float32, not all zero.

    Returns:
        (T + R - 1 - delay of the direct path,) float32, with the reverberation after the talker's end.
    """
    from scipy.signal import oaconvolve

    heard = oaconvolve(samples, response)[int(np.abs(response).argmax()) :]
    before, after = (np.sum(np.square(x, dtype=np.float64)) for x in (samples, heard))
    return (heard * np.sqrt(before / after)).astype(np.float32) if after > 0 else samples


def build_room_pool(folder: str | Path) -> list[RoomResponse]:
    """All responses below a folder, sorted; responses in the same sub-folder belong to one room.

    Raises:
        UserError: There are no responses, or one cannot be used or is silent.
    """
    reader, pool = AudioReader(), []
    for path in audio_files(Path(folder)):
        if not reader.read(path, first_channel=True).any():
            raise UserError(f"{path}: the room response is silent; remove it")
        pool.append(RoomResponse(str(path.parent), str(path)))
    return pool


def read_room_pool(path: str | Path) -> list[RoomResponse]:
    """Reads `rooms.jsonl`; mistakes are UserErrors with file and line."""
    return read_records(path, RoomResponse)


def simulate_rooms(seed: int, count: int, positions: int) -> Iterator[list[np.ndarray]]:
    """Draws shoebox rooms of random size, reverberation time, microphone and talkers (image source method).

    Args:
        seed: Seed; each room is a function of it and of its number.
        count: Number of rooms.
        positions: Positions of talkers in each room.

    Yields:
        For each room the responses of all positions: (R,) float32, with the direct path, the largest value, at sample
        32.

    Raises:
        UserError: pyroomacoustics is not installed.
    """
    try:
        import pyroomacoustics
    except ImportError:
        raise UserError("simulated rooms need pyroomacoustics: pip install 'espnet2_sop[rooms]'") from None
    for number in range(count):
        rng, responses = np.random.default_rng([seed, number]), None
        while responses is None:
            responses = _shoebox(pyroomacoustics, rng, positions)
        yield responses


def _shoebox(pra, rng: np.random.Generator, positions: int) -> list[np.ndarray] | None:
    """One room; None if it is not possible, or if a direct path is not the largest value of its response."""
    size = rng.uniform(*SIZE)
    try:
        absorption, order = pra.inverse_sabine(rng.uniform(*REVERBERATION), size)
    except ValueError:  # no absorption gives so short a reverberation in so large a room
        return None
    room = pra.ShoeBox(size, fs=SAMPLE_RATE, materials=pra.Material(absorption), max_order=order)
    microphone = rng.uniform(WALL, size - WALL)
    talkers = []
    while len(talkers) < positions:
        mouth = rng.uniform(WALL, size - WALL)
        if DISTANCE[0] <= np.linalg.norm(mouth - microphone) <= DISTANCE[1]:
            talkers.append(mouth)
    for mouth in talkers:
        room.add_source(mouth)
    room.add_microphone(microphone)
    room.compute_rir()
    lead = pra.constants.get("frac_delay_length") // 2
    responses = []
    for mouth, response in zip(talkers, room.rir[0], strict=True):
        direct = lead + round(np.linalg.norm(mouth - microphone) / room.c * SAMPLE_RATE)
        peak = int(np.abs(response).argmax())
        if abs(peak - direct) > 1:
            return None
        response = response[peak - AIR :]
        responses.append((response * (LEVEL / abs(response[AIR]))).astype(np.float32))
    return responses
