"""The command: its mistakes, the model behind the page, Ctrl-C, and the Space."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from gradio_client import Client, handle_file
from packaging.requirements import Requirement

from espnet2_sop.bin import demo
from espnet2_sop.bin.cli import run
from espnet2_sop.bin.demo import find_examples
from espnet2_sop.io.errors import UserError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "70000"], "--port 70000: ports go from 1 to 65535"),
        (["--port", "0"], "--port 0: ports go from 1 to 65535"),
        (["--max_seconds", "0"], "--max_seconds 0: give 1 to 3600"),
        (["--max_seconds", "nan"], "--max_seconds nan: give 1 to 3600"),
        (["--examples", "none"], "--examples none: no such folder"),
        (["--examples", "."], "no audio in it"),
        (["--space", "."], "--space .: is not empty"),
        (["--space", "new"], "./nothing: no such folder or zip, nor a Hugging Face id"),
        ([], "./nothing: no such folder or zip"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    assert run("demo", ["--model", "./nothing", *options]) == 1
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    assert run("demo", ["--model", "me/model"]) == 1
    assert "pip install 'espnet2_sop[demo]'" in capsys.readouterr().err


def test_examples_are_the_audio_files_of_a_folder(tmp_path):
    for name in ("b.flac", "a.WAV", "notes.txt", ".hidden"):
        (tmp_path / name).write_text("")
    (tmp_path / "folder.wav").mkdir()
    assert [path.name for path in find_examples(tmp_path)] == ["a.WAV", "b.flac"]


@pytest.mark.slow
def test_every_mode_gives_what_it_gives_alone(model, waves):
    from espnet2_sop.decoding.decoder import Decoder
    from espnet2_sop.decoding.speech2text import Speech2Text
    from espnet2_sop.demo.model import Recogniser

    recognise = Recogniser(Speech2Text(Decoder(model, "sop")))
    assert recognise.modes == ["sop", "ctc"]
    heard = []
    got = {(mode, i): recognise(waves[i], mode, heard.append) for i in range(3) for mode in ("sop", "ctc", "sop")}
    assert heard[0] == pytest.approx(len(waves[0]) / 16000) and len(heard) == 9
    for mode in ("ctc", "sop"):
        alone = Speech2Text(Decoder(model, mode))
        assert [got[mode, i] for i in range(3)] == [alone(wave) for wave in waves]
    assert any(got["sop", i] != got["ctc", i] for i in range(3))


def test_a_space_of_a_model_of_the_hub(tmp_path, wav, tools, capsys):
    wav("two talkers.wav", tools.noise(1))
    options = ["--revision", "v1", "--examples", str(tmp_path), "--space", str(tmp_path / "out")]
    demo.main(["--model", "me/model", *options])
    assert f"hf upload my-name/my-space {tmp_path / 'out'} . --repo-type space" in capsys.readouterr().out
    app = (tmp_path / "out/app.py").read_text()
    for option in ("'--model', 'me/model'", "'--revision', 'v1'", "'--host', '0.0.0.0'", "'--examples', 'examples'"):
        assert option in app
    assert (tmp_path / "out/examples/two talkers.wav").read_bytes() == (tmp_path / "two talkers.wav").read_bytes()
    settings = yaml.safe_load((tmp_path / "out/README.md").read_text().split("---")[1])
    assert settings["sdk"] == "gradio" and settings["app_file"] == "app.py" and settings["models"] == ["me/model"]
    lines = (tmp_path / "out/requirements.txt").read_text().splitlines()
    assert {"espnet", "torch", "transformers"} <= {Requirement(line).name for line in lines}
    assert not {"gradio", "pytest"} & {Requirement(line).name for line in lines}


def test_a_space_carries_no_run_folder(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("encoder: huggingface\n")
    assert run("demo", ["--model", str(tmp_path / "run"), "--space", str(tmp_path / "out")]) == 1
    assert "a Space needs a package; make one with espnet2-sop pack" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_space_answers_as_the_model_until_it_is_stopped(package, waves, wav, tmp_path):
    """Of the folder alone: its own copy of the package, with the variables of a Space."""
    from espnet2_sop.bin import pack
    from espnet2_sop.decoding.speech2text import Speech2Text

    options = ["--run", str(package), "--checkpoint", "valid.acc.ave.pth", "--out"]
    pack.main([*options, str(tmp_path / "bare")])
    with pytest.raises(UserError, match="ask for a package made with --include_pretrained"):
        demo.main(["--model", str(tmp_path / "bare.zip"), "--space", str(tmp_path / "space")])
    pack.main([*options, str(tmp_path / "sop"), "--include_pretrained"])
    space, uploads = tmp_path / "space", tmp_path / "tmp"
    uploads.mkdir()
    demo.main(["--model", str(tmp_path / "sop.zip"), "--space", str(space)])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = (space / "app.py").read_text()
    (space / "app.py").write_text(app.replace("'7860'", f"'{port}'"))
    variables = {"SYSTEM": "spaces", "SPACE_ID": "me/space", "TMPDIR": str(uploads), "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        [sys.executable, "app.py"], cwd=space, env=os.environ | variables, stdout=subprocess.PIPE, text=True
    )
    try:
        said = next(line for line in server.stdout if line.startswith("open "))
        assert f":{port}/" in said
        page, *files = Client(f"http://127.0.0.1:{port}/", verbose=False, httpx_kwargs={"timeout": 120}).predict(
            handle_file(wav("a.wav", waves[0])), "sop", api_name="/transcribe"
        )
        talkers = Speech2Text.from_pretrained(tmp_path / "sop.zip")(str(tmp_path / "a.wav"))
        assert talkers and page.count("<article") == len(talkers)
        assert Path(files[0]).read_text().startswith("a ")
    finally:
        server.terminate()  # as the hub does; a background job of a shell is deaf to SIGINT
        assert server.wait(120) == 0
    assert list(uploads.glob("espnet2-sop-demo-*")) == []
