"""If these fail, commands that need no model wait for seconds until torch or ESPnet are imported."""

import json
import subprocess
import sys

import pytest

from espnet2_sop.bin.cli import COMMANDS

HEAVY = {"torch", "espnet2", "transformers", "peft"}
SLOW = HEAVY | {"numpy", "scipy", "matplotlib"}
REPORT = """
import contextlib, io, json, sys
from espnet2_sop.bin import cli
found = {}
for argv in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            status = cli.run(argv[0], argv[1:])
        except SystemExit as stopped:
            status = stopped.code
    found[" ".join(argv[:2])] = [status, sorted(set(sys.modules) & set(sys.argv[1:]))]
print(json.dumps(found))
"""


def imported(*commands):
    """{first two words: [exit status, modules of SLOW that are imported by then]} of commands run in one process."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *SLOW],
        input=json.dumps([list(map(str, argv)) for argv in commands]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_help_imports_nothing_slow():
    """Neither the package itself nor the parser of any command."""
    found = imported(*([name, "--help"] for name in COMMANDS))
    assert found == {f"{name} --help": [0, []] for name in COMMANDS}


@pytest.fixture(scope="module")
def prepared(corpus, tmp_path_factory):
    root = tmp_path_factory.mktemp("startup")
    data, dump, out = root / "data/test", root / "dump/test", root / "exp/decode"
    speech = ["--speech_root", corpus.speech, "--condition", "clean", "--csv", corpus.csv[2]]
    commands = [
        ["prepare", "librimix", *speech, "--out", data],
        ["format", "--min_duration", "0.1", data, dump],
        ["validate", dump],
        ["vocab", "--kind", "char", "--data", dump, "--out", root / "char"],
        ["vocab", "--kind", "sentencepiece", "--data", dump, "--size", "40", "--out", root / "pieces"],
        ["stats", dump, "--out", root / "stats.json"],
    ]
    found = imported(*commands)
    for system in ("ctc", "sop"):
        folder = out / system / "test"
        folder.mkdir(parents=True)
        (folder / "text").write_text((dump / "text").read_text())
    return root, found


def test_data_commands_need_neither_torch_nor_espnet(prepared):
    _, found = prepared
    for command, (status, heavy) in found.items():
        assert status in (0, None), command
        assert not HEAVY & set(heavy), command


def test_scoring_commands_need_neither_torch_nor_espnet(prepared):
    root, _ = prepared
    folders = [root / "exp/decode" / system / "test" for system in ("ctc", "sop")]
    found = imported(["score", "--data", root / "dump", *folders], ["compare", *folders], ["table", root / "exp"])
    for command, (status, heavy) in found.items():
        assert status == 0, command
        assert not HEAVY & set(heavy), command


def test_mistakes_are_found_before_torch_is_imported(tmp_path):
    """Nobody waits ten seconds to hear that a folder is missing."""
    found = imported(
        ["decode", "--run", tmp_path, "--mode", "sop", "--out", tmp_path, tmp_path / "none"],
        ["train", "--config", tmp_path / "none.yaml"],
        ["cache", "--config", tmp_path / "none.yaml"],
        ["plan", tmp_path / "none.yaml"],
        ["transcribe", "--model", tmp_path / "none", tmp_path / "a.wav"],
        ["transcribe", "--model", tmp_path / "none", tmp_path],
        ["demo", "--model", tmp_path / "none"],
        ["pack", "--run", tmp_path / "none", "--checkpoint", "x.pth", "--out", tmp_path / "out"],
        ["unpack", tmp_path, "--out", tmp_path / "out"],
        ["upload", tmp_path, "me/model"],
    )
    for command, (status, heavy) in found.items():
        assert status == 1, command
        assert not HEAVY & set(heavy), command
