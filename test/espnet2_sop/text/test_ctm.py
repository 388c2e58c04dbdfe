import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.text.ctm import TimedWord, read_ctm, write_ctm


def test_round_trip_and_what_the_file_looks_like(tmp_path):
    words = [TimedWord(1, 0.08, 0.16, "it's", 0.97), TimedWord(3, 1.2, 0.08, "\u00fcber", 1.0)]
    write_ctm(tmp_path / "a.ctm", [("mix1", words), ("mix2", []), ("mix3", words[:1])])
    lines = (tmp_path / "a.ctm").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "mix1 1 0.080 0.160 it's 0.97" and len(lines) == 3
    assert read_ctm(tmp_path / "a.ctm") == {"mix1": words, "mix3": words[:1]}
    assert words[0].middle == pytest.approx(0.16)


@pytest.mark.parametrize("line", ["mix1 1 0.1 0.2 red", "mix1 A 0.1 0.2 red 1.0", "mix1 1 0.1 0.2 red box 1.0", ""])
def test_a_broken_line_is_named(tmp_path, line):
    (tmp_path / "a.ctm").write_text(f"mix0 1 0.1 0.2 red 1.0\n{line}\n")
    with pytest.raises(UserError, match="a.ctm, line 2: expected `id channel start"):
        read_ctm(tmp_path / "a.ctm")
