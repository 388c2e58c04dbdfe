#!/usr/bin/env python3
"""fortunes.py FOLDER: English sentences for `espnet2-sop prepare voices --texts`, one a line.

FOLDER has the texts of Debian's packages fortunes and fortunes-min (/usr/share/games/fortunes). Sentences of 4 to 22
words come out in upper case, each once and shuffled, without those that a voice would have to guess at: digits,
abbreviations, words of 13 letters and more.
"""

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

NO_PROSE = {
    *("art", "ascii-art", "songs-poems", "translate-me", "law"),
    *("computers", "debian", "knghtbrd", "linuxcookie", "perl"),
}
UNSPEAKABLE = re.compile(r"[^A-Za-z' ,.!?;:\"-]|\b[A-Z]{2,}\b|[A-Z]\.")


def sentences(text: str) -> Iterator[str]:
    """The sentences of one file: quotations between lines of `%`, whose sources follow `--`."""
    for quotation in text.split("\n%\n"):
        words = re.sub(r"\s+", " ", re.sub(r"\n\s*--.*", "", quotation, flags=re.DOTALL))
        for sentence in re.split(r"(?<=[.!?])[\"')]*\s+", words):
            sentence = sentence.strip(" \"'()-")
            if UNSPEAKABLE.search(sentence):
                continue
            spoken = [w for part in re.sub(r"[^A-Za-z' ]", " ", sentence).upper().split() if (w := part.strip("'"))]
            if 4 <= len(spoken) <= 22 and max(map(len, spoken)) < 13:
                yield " ".join(spoken)


def main() -> None:
    """Prints the sentences of a folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) == 2 else None
    if folder is None or not folder.is_dir():
        sys.exit("usage: fortunes.py FOLDER   (with the texts of Debian's fortunes, /usr/share/games/fortunes)")
    files = [file for file in sorted(folder.iterdir()) if "." not in file.name and file.name not in NO_PROSE]
    found = {s for file in files if file.is_file() for s in sentences(file.read_text("utf-8", errors="ignore"))}
    if not found:
        sys.exit(f"fortunes.py: {folder}: no sentences in it; install the packages fortunes and fortunes-min")
    shuffled = sorted(found)
    random.Random(1).shuffle(shuffled)
    print("\n".join(shuffled))


if __name__ == "__main__":
    main()
