"""egs2/fotaqmix/sop_asr1/local/fortunes.py: which sentences become texts for voices."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "egs2/fotaqmix/sop_asr1/local/fortunes.py"
QUOTATIONS = """\
"Don't stop now!" he said.  We were
nearly there at last.
\t\t-- Somebody, "His own words are none of ours"
%
It was in 1984 that it began.
Nobody from the FBI came to see us.
I read it in the L.A Times today.
Too short this.
%
Nearly there, nearly there, he said.  WE were nearly there at last
The antidisestablishmentarians left the room.
We were nearly there at last!
"""


def sentences(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


def test_sentences_that_can_be_spoken_once_each(tmp_path):
    (tmp_path / "wisdom").write_text(QUOTATIONS)
    (tmp_path / "perl").write_text("There is more than one way.\n")
    (tmp_path / "wisdom.dat").write_text("There is an index beside each.\n")
    done = sentences(tmp_path)
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == [
        "NEARLY THERE NEARLY THERE HE SAID",
        "WE WERE NEARLY THERE AT LAST",
    ]
    assert sentences(tmp_path).stdout == done.stdout


def test_mistakes_are_one_line(tmp_path):
    for arguments, message in (((), "usage"), ((tmp_path / "none",), "usage"), ((tmp_path,), "no sentences in it")):
        done = sentences(*arguments)
        assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1
