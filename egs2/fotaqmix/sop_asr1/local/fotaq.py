#!/usr/bin/env python3
"""fotaq.py OUT [--package FILE]: the speech of this recipe, from the game Flight of the Amazon Queen.

The voices come from Debian's package flight-of-the-amazon-queen (35 MB), which `apt-get download` fetches without root;
--package takes a .deb or a queen.1c that is there already. OUT gets the folders train, dev and test in the layout of
LibriSpeech (16 kHz FLAC and texts, 4.1 hours, 232 MB), the table speakers.tsv and the licence of the game. No actor is
in two of the folders; fotaq_voices.tsv says who speaks what. An interrupted run continues when it is started again.
"""

import argparse
import csv
import hashlib
import io
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from scipy.signal import resample_poly
from tqdm import tqdm

PACKAGE, DATA = "flight-of-the-amazon-queen", "queen.1c"
SHA256 = "cc91960d133fcd4173eda4bac304e80d2bbdbaa085640287ab9e0507bd603f67"  # of the DATA that the table was made for
TABLE = Path(__file__).resolve().with_name("fotaq_voices.tsv")
PART = ".fotaq"  # folder in OUT for what is not complete yet
RATE = 16000
SHORTEST, LONGEST = 1.0, 16.0  # seconds
HEADER = 20  # bytes before the contents of dialogues, cutscenes and tables
FIRST_DESCRIPTION = 41  # number of the recording of the first description
SILENT = ("GD", "GM")  # codes at the end of a piece without a recording

ACTORS = {  # speaker: (set, actor in the game's credits)
    "fq01": ("train", "Brad Lavelle"),
    "fq02": ("train", "Tom Hill"),
    "fq03": ("train", "Bill Hootkins"),
    "fq04": ("train", "Enn Reitel"),
    "fq05": ("train", "Mike Hurley or Enn Reitel"),
    "fq06": ("train", "Lisa Valdez"),
    "fq07": ("dev", "Debbie Arnold"),
    "fq08": ("dev", "Regina Reagan"),
    "fq09": ("dev", "Barry James"),
    "fq10": ("test", "Jon Coleman"),
    "fq11": ("test", "Jessica Martin"),
    "fq12": ("test", "Penelope Keith"),
}
SETS = ("train", "dev", "test")
NOTICE = """Voice recordings of Flight of the Amazon Queen, (C) John Passfield and Steven Stamatiadis.
MODIFIED: extracted from queen.1c, resampled to 16 kHz, joined to utterances and sorted by speaker.
The licence of the game holds ({licence}): it may be given away for free, no fee may be charged for it.
"""


class DataError(Exception):
    """A package, archive or folder that cannot be used; printed as one line."""


class Archive:
    """The members of queen.1c by name, as bytes."""

    def __init__(self, blob: bytes):
        if blob[:4] != b"QTBL":
            raise DataError(f"not a {DATA} with a table of its members")
        self.members = {}
        for entry in range(struct.unpack_from(">H", blob, 13)[0]):
            name, _, start, size = struct.unpack_from(">12scII", blob, 15 + 21 * entry)
            self.members[name.partition(b"\0")[0].decode("latin-1")] = blob[start : start + size]

    def scripts(self, ending: str) -> Iterator[tuple[str, "Script"]]:
        """Name without ending, and contents, of all members that end so, in the order of their names."""
        for name in sorted(self.members):
            if name.endswith(ending):
                yield name.removesuffix(ending), Script(self.members[name][HEADER:])


class Script:
    """Big-endian numbers and strings of a dialogue or cutscene, read one after the other from `at`."""

    def __init__(self, data: bytes, at: int = 0):
        self.data, self.at = data, at

    def words(self, number: int) -> tuple[int, ...]:
        """The next signed 16-bit numbers."""
        found = struct.unpack_from(f">{number}h", self.data, self.at)
        self.at += 2 * number
        return found

    def string(self, align: int) -> str:
        """The next string; behind one that is not empty, reading continues at a multiple of `align` bytes."""
        start = self.at + 1
        self.at = start + self.data[self.at]
        found = self.data[start : self.at].decode("cp437")
        if found:
            self.at += -self.at % align
        return found

    def offset(self, at: int) -> int:
        """The unsigned 16-bit number at a place."""
        return int.from_bytes(self.data[at : at + 2], "big")


class Line(NamedTuple):
    """A line of the game: name of its recordings, chapter of the corpus, kind and key of its speaker, text."""

    key: str
    chapter: str
    kind: str
    who: str
    text: str


def dialogues(archive: Archive) -> Iterator[Line]:
    """Conversations of Joe with one character each."""
    for name, script in archive.scripts(".DOG"):
        other = name.rstrip("0123456789")
        levels, _, file, of_joe, of_other = script.words(5)
        joe_at = 32 + 96 * abs(levels)

        def line(number: str, letter: str, text: str, other: str = other, file: int = file) -> Line:
            who = "JOE" if letter == "J" else other
            return Line(f"{file:02d}{number}{letter}", who.lower(), "dialogue", who, text)

        for letter, count, start in (("P", of_other, script.offset(22)), ("J", of_joe, joe_at)):
            script.at = start
            for _ in range(count):
                _, number = script.words(2)
                text = script.string(4)
                if text and number >= 0:
                    yield line(f"{number:04X}", letter, text)
        script.at = joe_at
        if script.words(2)[1] == 0:
            yield line("SSSS", "J", script.string(2))
        script.at = script.offset(26)
        for letter in "PJ":
            yield line("XXXX", letter, script.string(2))


def descriptions(archive: Archive) -> Iterator[Line]:
    """What Joe says about the things he looks at."""
    (count,) = Script(archive.members["QUEEN.JAS"], HEADER + 6).words(1)
    texts = archive.members["QUEEN2.JAS"].decode("cp437").split("\r\n")[:count]
    for number, text in enumerate(texts, FIRST_DESCRIPTION):
        yield Line(f"JOE{number:04d}", "desc", "dialogue", "JOE", text)


def cutscenes(archive: Archive) -> Iterator[Line]:
    """Steps of the cutscenes: each names the object that acts, and the string that follows belongs to it."""
    for name, script in archive.scripts(".CUT"):
        _, count, *_ = script.words(6)
        acting = ["None"]  # the first string belongs to no step
        for _ in range(abs(count)):
            step = script.words(18)
            acting.append(str(step[0]))
            script.words(max(step[17], 0))
            if step[5] > 0:  # animation: frames of ten numbers, up to a -2
                while script.words(1)[0] != -2:
                    script.words(9)
        script.at = script.offset(8)
        for index, who in enumerate(acting[:-1]):
            if script.at >= len(script.data):
                break
            yield Line(f"{name.ljust(5, '_')}{index:02d}", "cut", "object", who, script.string(2))


def recordings(key: str, text: str) -> Iterator[tuple[str, str]]:
    """File and words of each piece of a line.

    Args:
        key: name of the line.
        text: the line; `*` and two characters (`*XY` and eleven more) separate its pieces.

    Returns:
        Name of the file, numbered in hexadecimal digits from 1, and the words, of pieces that have words.
    """
    parts = re.split(r"(?s)\*(XY.{0,11}|.{0,2})", text)
    for number, (words, code) in enumerate(zip(parts[::2], [*parts[1::2], ""], strict=True), 1):
        words = re.sub("[\r\n]", "", words).strip()
        if words and code not in SILENT:
            yield f"{key}{number:x}.SB".upper(), words


ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEENS = ["ten", "eleven", "twelve", "thirteen"] + [
    f"{stem}teen" for stem in ("four", "fif", "six", "seven", "eigh", "nine")
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def spelt(number: int) -> str:
    """A number in words; 1100 to 1999 as years."""
    if number < 20:
        return (ONES + TEENS)[number]
    if number < 100:
        ten, one = divmod(number, 10)
        return f"{TENS[ten - 2]} {ONES[one]}" if one else TENS[ten - 2]
    year = 1100 <= number < 2000
    many, rest = divmod(number, 100 if year or number < 1000 else 1000)
    unit = "" if year and rest else " hundred" if year or number < 1000 else " thousand"
    link = " and " if number < 1000 else " "
    return f"{spelt(many)}{unit}{link}{spelt(rest)}" if rest else f"{spelt(many)}{unit}"


SPOKEN = {
    "19:00": "nineteen hundred",
    "1940's": "nineteen forties",
    "13th": "thirteenth",
    "2B or not 2B": "to be or not to be",
}


def words(text: str) -> str:
    """Upper-case words, apostrophes only within them, numbers in words; without sounds in <> and signs."""
    text = re.sub(r"<[^>]*>|&#\S*|\^_", " ", text)
    for written, said in SPOKEN.items():
        text = text.replace(written, said)
    text = re.sub(r"\d+", lambda found: f" {spelt(int(found[0]))} ", text).upper()
    return " ".join(re.findall(r"[A-Z](?:[A-Z']*[A-Z])?", text))


def chapters(archive: Archive) -> dict[tuple[str, str], list[list[tuple[bytes, str]]]]:
    """Recordings and words of the lines of each speaker and chapter; a recording that occurs twice is used once."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        speakers = {(row["kind"], row["key"]): row["speaker"] for row in rows}
    found, seen = defaultdict(list), set()
    for line in (*dialogues(archive), *descriptions(archive), *cutscenes(archive)):
        pieces = []
        for name, said in recordings(line.key, line.text):
            audio = archive.members.get(name)
            if audio is not None and (digest := hashlib.sha256(audio).digest()) not in seen:
                seen.add(digest)
                pieces.append((audio, said))
        speaker = speakers.get(("line", line.key.upper())) or speakers.get((line.kind, line.who))
        if pieces and speaker in ACTORS:
            found[speaker, line.chapter].append(pieces)
    return dict(found)


def load(audio: bytes) -> np.ndarray:
    """Samples (T,) float32, 16 kHz, of a recording."""
    wave, rate = soundfile.read(io.BytesIO(audio), dtype="float32", always_2d=True)
    step = np.gcd(rate, RATE)
    return resample_poly(wave.mean(1), RATE // step, rate // step).astype(np.float32)


def utterances(pieces: Sequence[tuple[bytes, str]]) -> Iterator[tuple[np.ndarray, str]]:
    """Samples (T,) and words of a line: its pieces joined, up to LONGEST; empty words where it cannot be used."""
    waves, said = [], []
    for audio, text in [*pieces, (b"", "")]:
        wave = load(audio) if audio else None
        if waves and (wave is None or sum(map(len, waves)) + len(wave) > LONGEST * RATE):
            joined = np.concatenate(waves)
            yield joined, words(" ".join(said)) if SHORTEST <= len(joined) / RATE <= LONGEST else ""
            waves, said = [], []
        waves.append(wave)
        said.append(text)


def write_chapter(folder: Path, name: str, lines: Sequence[Sequence[tuple[bytes, str]]]) -> None:
    """Writes the audio and the texts of a chapter; the folder appears when it is complete.

    Args:
        folder: the folder of the chapter.
        name: speaker and chapter, as the names of the files begin.
        lines: recordings and words of each line.
    """
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    texts = []
    for pieces in lines:
        for wave, text in utterances(pieces):
            if text:
                utterance = f"{name}-{len(texts):04d}"
                soundfile.write(part / f"{utterance}.flac", np.clip(wave, -1, 1), RATE, subtype="PCM_16")
                texts.append(f"{utterance} {text}\n")
    if texts:
        (part / f"{name}.trans.txt").write_text("".join(texts), encoding="utf-8")
        part.rename(folder)
    else:
        part.rmdir()


def run(command: Sequence[str | Path], folder: Path, advice: str) -> None:
    """Runs a command.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        advice: what to do if it fails.

    Raises:
        DataError: there is no such program, or it failed.
    """
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise DataError(f"no program {command[0]} here; {advice}") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(f"{command[0]} failed ({said}); {advice}") from None


def read_package(package: Path | None) -> tuple[bytes, bytes | None]:
    """Contents of queen.1c, and of the licence where a Debian package has it.

    Args:
        package: a .deb or queen.1c; None fetches the package.

    Raises:
        DataError: the file is missing, broken or another version.
    """
    licence = None
    if package and not package.is_file():
        raise DataError(f"{package}: no such file")
    with tempfile.TemporaryDirectory(prefix="fotaq.") as folder:
        data = package
        if not package:
            print(f"apt-get download {PACKAGE}", flush=True)
            advice = f"run apt-get update as root, or fetch the package elsewhere and give --package {PACKAGE}_*.deb"
            run(["apt-get", "--quiet", "download", PACKAGE], Path(folder), advice)
            (package,) = Path(folder).glob("*.deb")
        if package.suffix == ".deb":
            advice = f"{package.name}: give a whole Debian package, or the {DATA} in it"
            run(["dpkg-deb", "--extract", package.resolve(), Path(folder, "tree")], Path(folder), advice)
            found = sorted(Path(folder, "tree").rglob(DATA))
            if not found:
                raise DataError(f"{package}: no {DATA} in it; the package is {PACKAGE}")
            data = found[0]
            for file in Path(folder, "tree").rglob(f"doc/{PACKAGE}/copyright"):
                licence = file.read_bytes()
        blob = data.read_bytes()
    if hashlib.sha256(blob).hexdigest() != SHA256:
        raise DataError(f"{package}: its {DATA} is broken or of another version; needed: sha256 {SHA256}")
    return blob, licence


def summary(out: Path) -> str:
    """The table of the speakers in a folder: set, actor, utterances and minutes."""
    rows = ["speaker\tset\tactor\tutterances\tminutes\n"]
    for speaker, (subset, actor) in ACTORS.items():
        seconds = [soundfile.info(path).duration for path in sorted((out / subset / speaker).rglob("*.flac"))]
        rows.append(f"{speaker}\t{subset}\t{actor}\t{len(seconds)}\t{sum(seconds) / 60:.1f}\n")
    return "".join(rows)


def make(out: Path, package: Path | None) -> None:
    """Writes the corpus.

    Args:
        out: its folder; other folders in it stay as they are.
        package: a .deb or queen.1c; None fetches the package.

    Raises:
        DataError: the package cannot be used, or another train, dev or test is there.
    """
    if (out / "speakers.tsv").is_file() and all((out / subset).is_dir() for subset in SETS):
        print(f"{out}: complete already")
        return
    part = out / PART
    taken = [subset for subset in SETS if (out / subset).exists()]
    if taken and not part.is_dir():
        raise DataError(f"{out / taken[0]}: is there already; remove it or give a new folder")
    blob, licence = read_package(package)
    for subset in SETS:
        (part / subset).mkdir(parents=True, exist_ok=True)
    found = chapters(Archive(blob))
    for (speaker, chapter), lines in tqdm(found.items(), desc="chapters"):
        subset = ACTORS[speaker][0]
        folder = part / subset / speaker / chapter
        if subset not in taken and not folder.is_dir():
            write_chapter(folder, f"{speaker}-{chapter}", lines)
    for subset in SETS:
        if subset not in taken:
            (part / subset).rename(out / subset)
    shutil.rmtree(part)
    if licence:
        (out / "LICENCE.txt").write_bytes(licence)
    place = "LICENCE.txt" if licence else f"in Debian's package {PACKAGE}"
    (out / "NOTICE.txt").write_text(NOTICE.format(licence=place), encoding="utf-8")
    table = summary(out)
    (out / "speakers.tsv").write_text(table, encoding="utf-8")
    counts = Counter()
    for row in csv.DictReader(io.StringIO(table), delimiter="\t"):
        counts[row["set"]] += int(row["utterances"])
    print(f"{out}: {', '.join(f'{counts[subset]} utterances of {subset}' for subset in SETS)}")


def main() -> None:
    """Writes the folder, or one line that says why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the corpus")
    parser.add_argument("--package", type=Path, help=f"a .deb or {DATA}; default: fetched by apt-get download")
    args = parser.parse_args()
    try:
        make(args.out, args.package)
    except (DataError, OSError) as error:
        sys.exit(f"fotaq.py: error: {error}")


if __name__ == "__main__":
    main()
