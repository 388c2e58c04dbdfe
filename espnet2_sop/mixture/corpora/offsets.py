"""Start offsets for LibriMix metadata without them."""

import csv
import hashlib
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write
from espnet2_sop.mixture.corpora.librimix import read_metadata

RANGES = ((1.0, 1.5), (2.5, 3.0))  # s after the start of talker 1, for talkers 2 and 3


def draw_offset(seed: int, mixture_id: str, talker: int) -> float:
    """Draws the start of a talker from U(1.0, 1.5) or U(2.5, 3.0) seconds after the start of talker 1.

    The first 8 bytes of SHA-256 of "SEED MIXTURE_ID TALKER", read as a number from 0 to 1, give the place in the range.
    The result is the same on every machine and independent of other draws. Ranges: ESPnet's Libri2Mix for talker 2, the
    SOP paper for talker 3.

    Args:
        seed: Seed.
        mixture_id: Id of the mixture.
        talker: 2 or 3.

    Returns:
        Seconds.
    """
    low, high = RANGES[talker - 2]
    digest = hashlib.sha256(f"{seed} {mixture_id} {talker}".encode()).digest()
    return low + (high - low) * (int.from_bytes(digest[:8], "big") / 2**64)


def draw_offsets(csv_path: str | Path, out: str | Path, seed: int) -> int:
    """Copies a LibriMix metadata CSV and adds offsets to all rows.

    The new columns are the last ones: `offset` with two talkers (as in ESPnet), `offset1` and `offset2` with three.

    Args:
        csv_path: CSV without offsets.
        out: CSV to write.
        seed: Seed of `draw_offset`.

    Returns:
        Number of rows.

    Raises:
        UserError: The CSV has mistakes, has offsets already, or has not two or three talkers.
    """
    metadata = read_metadata(csv_path)
    if not 2 <= metadata.num_talkers <= len(RANGES) + 1:
        raise UserError(f"{csv_path}: {metadata.num_talkers} talkers; offsets are drawn for 2 or 3")
    if present := [name for name in metadata.header if name.startswith("offset")]:
        raise UserError(f"{csv_path}: has start offsets already (column {', '.join(present)}); use it as it is")
    with atomic_write(out) as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow([*metadata.header, *metadata.offsets])
        for row in metadata.rows:
            drawn = (draw_offset(seed, row["mixture_ID"], t) for t in range(2, metadata.num_talkers + 1))
            writer.writerow([*row.values(), *drawn])
    return len(metadata.rows)
