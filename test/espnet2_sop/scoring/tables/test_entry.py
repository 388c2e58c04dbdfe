"""If these fail, results are published twice, or nobody knows how they came about."""

import json
import re

import pytest
import yaml

from espnet2_sop.bin import cli, score
from espnet2_sop.io.files import write_kaldi
from espnet2_sop.scoring.tables.entry import append_entry
from espnet2_sop.scoring.tables.environment import commit

REF = {f"m{i}": "ONE TWO <sc> THREE" for i in range(4)}
CONFIG = {
    "seed": 7,
    "max_epoch": 3,
    "encoder_conf": {"pretrained": "wavlm"},
    "llm_conf": {"pretrained": "llama"},
    "model_conf": {"trainable": ["sop"]},
    "init_param": ["exp/stage2_ctc/valid.ter.ave.pth"],
    "train_data_path_and_name_and_type": [["dump/train/simulation.yaml", "speech", "mixture"]],
}


@pytest.fixture
def exp(tmp_path):
    write_kaldi(tmp_path / "data/test/text", REF.items())
    (tmp_path / "data/test/info.json").write_text('{"num_talkers": 2, "condition": "clean"}')
    for system in ("sot", "sop"):
        folder = tmp_path / "exp/decode" / system / "test"
        write_kaldi(folder / "text", REF.items())
        speed = {"real_time_factor": 0.1, "audio_seconds": 9, "threads": 2, "gpu": "H100" if system == "sop" else None}
        (folder / "speed.json").write_text(json.dumps(speed))
        score.main([str(tmp_path / "data/test"), str(folder)])
    (tmp_path / "exp/stage3_sop").mkdir()
    (tmp_path / "exp/stage3_sop/config.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path / "exp"


def test_an_entry_says_how_to_repeat_it(exp):
    path = exp.parent / "egs2/RESULTS.md"
    name = append_entry(exp, path)
    text = path.read_text()
    assert text.startswith("# RESULTS\n\n## ") and f"<!-- entry {name} -->" in text
    for line in ("date: 20", "versions: python 3.", "machine: Linux", "commit: ", "decoded on: H100, CPU (2 threads)"):
        assert f"\n- {line}" in text
    assert re.search(r"torch \d.*espnet 20.*transformers \d", text)
    row = r"\| stage3_sop \| 7 \| 3 \| sop \| wavlm \| llama \| dump/train/\S+ \| exp/\S+ \| [0-9a-f]{12} \|"
    assert re.search(row, re.sub(" +", " ", text))
    assert re.search(r"\| test +\| 2 talkers, clean \| +4 \| +12 \| +[0-9a-f]{12} \|", text)
    assert "### cpWER" in text and "### Paired comparisons" in text and "\n# Results" not in text


def test_the_table_names_the_training_runs(exp, capsys):
    assert cli.run("table", [str(exp)]) == 0
    text = re.sub(" +", " ", capsys.readouterr().out)
    assert "## Environment\n\n- date: 20" in text and "\n| stage3_sop | 7 | 3 | sop | wavlm | llama |" in text


def test_the_same_is_not_appended_twice_but_what_is_new_is(exp, capsys):
    path = exp.parent / "RESULTS.md"
    path.write_text("# RESULTS\n\nby hand\n")
    first = append_entry(exp, path)
    before = path.read_text()
    assert before.startswith("# RESULTS\n\nby hand\n\n## ")
    capsys.readouterr()
    assert cli.run("table", [str(exp), "--append", str(path)]) == 1
    said = capsys.readouterr().err
    assert f"(entry {first}); nothing is appended" in said and said.count("\n") == 1
    assert path.read_text() == before
    (exp / "stage3_sop/config.yaml").write_text(yaml.safe_dump(CONFIG | {"seed": 8}))
    assert cli.run("table", [str(exp), "--append", str(path)]) == 0
    assert path.read_text().startswith(before) and path.read_text().count("<!-- entry ") == 2
    assert "appended" in capsys.readouterr().out


def test_nothing_is_written_when_nothing_is_scored(tmp_path, capsys):
    assert cli.run("table", [str(tmp_path), "--append", str(tmp_path / "R.md")]) == 1
    assert "no score.json below" in capsys.readouterr().err and not (tmp_path / "R.md").exists()


def test_outside_of_a_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit(tmp_path) == "not in a git repository"
