"""Whether the LLM reads its prompt, against counts made by hand."""

import json

import pytest

from espnet2_sop.bin import analyse, score, table
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import write_kaldi
from espnet2_sop.scoring.prompt.use import PromptUse
from espnet2_sop.scoring.rates import ErrorCount

SET = "test_2mix_clean"
TEXTS = {  # errors of m1 and m2, of 5 words each; m3 was decoded with its own prompt only
    "own": {"m1": "a b x x <sc> e", "m2": "a b c d <sc> x", "m3": "x"},  # 2 + 1
    "reference": {"m1": "a b c d <sc> e", "m2": "a b c d <sc> e"},  # 0
    "other": {"m1": "x x x x <sc> x", "m2": ""},  # 5 + 5
    "none": {"m1": "a b c <sc> e", "m2": "a b c d <sc> e f"},  # 1 + 1
}


@pytest.fixture
def root(tmp_path):
    write_kaldi(tmp_path / "data" / SET / "text", dict.fromkeys(("m1", "m2", "m3"), "a b c d <sc> e").items())
    system = tmp_path / "exp/decode/sop"
    for source, texts in TEXTS.items():
        folder = system / SET if source == "own" else system / "prompt_use" / source / SET
        write_kaldi(folder / "text", texts.items())
    write_kaldi(system / SET / "prompt", TEXTS["own"].items())
    return tmp_path


def ask(root):
    analyse.main(["--prompt_use", "--data", str(root / "data"), str(root / "exp/decode/sop" / SET)])


def test_table_against_counts_by_hand(root, capsys):
    ask(root)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"| sop, {SET}")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        f"sop, {SET}", "2", "30.0 [20.0, 40.0]", "0.0 [0.0, 0.0]", "100.0 [100.0, 100.0]", "20.0 [20.0, 20.0]",
        "+30.0 [+20.0, +40.0] *", "reads it",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("own", "reference", "verdict"),
    [
        ([10] * 9, [0] * 9, "reads it"),
        ([10] * 9, [5] * 9, "reads it"),
        ([10] * 9, [6] * 9, "reads some of it"),
        ([10] * 9, [9] * 9, "reads some of it"),
        ([100] * 9, [91] * 9, "hardly reads it"),
        ([10] * 9, [12] * 9, "hardly reads it"),
        ([10, 2], [3, 2], "cannot tell"),
        ([0] * 9, [0] * 9, "–"),
    ],
)
def test_words_follow_the_rule(own, reference, verdict):
    counts = {"own": own, "reference": reference}
    use = PromptUse("sop", {key: [ErrorCount(n, 0, 0, 200) for n in row] for key, row in counts.items()})
    assert use.verdict == verdict


def test_results_have_the_table_and_no_system_of_an_oracle(root, capsys):
    score.main(["--data", str(root / "data"), str(root / "exp/decode/sop" / SET)])
    table.main([str(root / "exp")])
    text = (root / "exp/RESULTS.md").read_text()
    assert "## Does the LLM read its prompt?" in text and "| reads it" in text
    assert {row["system"] for row in json.loads((root / "exp/results.json").read_text())} == {"sop"}
    write_kaldi(root / "exp/decode/sop/prompt_use/none" / SET / "text", [("m1", "a")])
    capsys.readouterr()
    table.main([str(root / "exp")])
    assert "## Does the LLM read its prompt?" not in (root / "exp/RESULTS.md").read_text()
    assert "warning: prompt use is left out: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (f"{SET}/prompt", None, "was decoded without a prompt"),
        (f"prompt_use/other/{SET}/text", None, "other/.*: no text; run `espnet2-sop decode --sop_source other"),
        (f"prompt_use/none/{SET}/text", "m1 a\n", "none/.*: other mixtures than in .*; decode both with one --mix"),
        (f"{SET}/text", "m1 a\n", f"{SET}/text: no m2, which .*reference/{SET} has; decode again"),
    ],
)
def test_mistakes_are_one_line(root, file, text, message):
    path = root / "exp/decode/sop" / file
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        ask(root)
    assert "\n" not in str(error.value)


def test_decodings_of_another_checkpoint_are_refused(root):
    system = root / "exp/decode/sop"
    origin = {"options": {"beam": 1, "sop_source": None}, "files": {"checkpoint": "first"}}
    (system / SET / "origin.json").write_text(json.dumps(origin))
    other = system / "prompt_use/other" / SET / "origin.json"
    origin["options"] |= {"sop_source": "other", "mixtures": 2}
    other.write_text(json.dumps(origin))
    ask(root)
    other.write_text(json.dumps(origin | {"files": {"checkpoint": "second"}}))
    with pytest.raises(UserError, match="files.checkpoint is second, but first in .*; decode again"):
        ask(root)


def test_another_set_is_refused(root):
    write_kaldi(root / "data" / SET / "text", [("m1", "a b")])
    with pytest.raises(UserError, match="text: no m2, which .* has; give the set that was decoded"):
        ask(root)
