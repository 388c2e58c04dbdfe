"""The command and the model behind the page."""

import threading
import urllib.request

import numpy as np
import pytest

from espnet2_sop.bin import demo
from espnet2_sop.bin.cli import run
from espnet2_sop.demo.audio import peaks
from espnet2_sop.demo.result import changes
from espnet2_sop.demo.server import DemoServer
from espnet2_sop.demo.studio import Studio, find_examples
from espnet2_sop.io.errors import UserError


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "70000"], "--port 70000: ports go from 1 to 65535"),
        (["--max_seconds", "0"], "--max_seconds 0: give 1 to 3600"),
        (["--max_seconds", "nan"], "--max_seconds nan: give 1 to 3600"),
        (["--examples", "none"], "--examples none: no such folder"),
        (["--examples", "."], "no audio in it"),
        ([], "nothing"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    assert run("demo", ["--model", "./nothing", *options]) == 1
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1


def test_examples_are_the_audio_files_of_a_folder(tmp_path):
    for name in ("b.flac", "a.WAV", "notes.txt", ".hidden"):
        (tmp_path / name).write_text("")
    (tmp_path / "folder.wav").mkdir()
    assert [path.name for path in find_examples(tmp_path)] == ["a.WAV", "b.flac"]


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


class Interrupted(DemoServer):
    """Ctrl-C comes as soon as the model is busy."""

    def service_actions(self):
        if self.studio.turns._line:
            raise KeyboardInterrupt


def test_ctrl_c_finishes_the_recording_at_hand_and_frees_the_port(tools):
    server, entered, answers = Interrupted("127.0.0.1", 0), threading.Event(), []

    def transcribe(waveform, mode, progress):
        entered.wait(0.5)
        return tools.TALKERS

    server.studio = Studio("m", transcribe, ["sop"], "cpu", 10)
    port = server.server_address[1]
    url = f"http://127.0.0.1:{port}/transcribe"

    def send():
        with urllib.request.urlopen(url, tools.wav(tools.noise(1)), timeout=20) as answer:
            answers.append(answer.read())

    thread = threading.Thread(target=send)
    thread.start()
    demo.serve(server)
    thread.join()
    assert b'"done"' in answers[0]
    DemoServer("127.0.0.1", port).server_close()


def test_address_and_who_can_reach_it():
    for host, shown, local in (("127.0.0.1", "127.0.0.1", True), ("0.0.0.0", "localhost", False)):
        with DemoServer(host, 0) as server:
            assert server.address == f"http://{shown}:{server.server_address[1]}" and server.is_local is local


def test_peaks_follow_the_waveform():
    wave = np.concatenate([np.full(16000, 0.1), np.full(16000, -0.5)]).astype("float32")
    assert peaks(wave) == [0.2] * 50 + [1.0] * 50
    assert len(peaks(np.ones(16000 * 600, "float32"))) == 6000
    assert peaks(np.ones(10, "float32")) == [1.0]


@pytest.mark.parametrize(
    ("prompt", "final", "expected"),
    [
        ("a b", "a b", "correct:a correct:b"),
        ("a b c", "a x c d", "correct:a substituted:b>x correct:c added:>d"),
        ("a b", "b", "deleted:a correct:b"),
        ("", "a", "added:>a"),
        ("a", "", "deleted:a"),
        ("", "", ""),
    ],
)
def test_changes_name_every_word_of_both_once(prompt, final, expected):
    line = changes(prompt.split(), final.split())
    short = {"correct": "{prompt}", "deleted": "{prompt}", "substituted": "{prompt}>{word}", "added": ">{word}"}
    assert " ".join(f"{c['kind']}:{short[c['kind']].format(**c)}" for c in line) == expected
    assert [c["word"] for c in line if c["word"]] == final.split()
    assert [c["at"] for c in line if c["at"] is not None] == list(range(len(prompt.split())))


def test_no_studio_without_a_known_mode(tools):
    studio = Studio("m", lambda *_: [], ["sop"], "cpu", 10)
    with pytest.raises(UserError, match="mode 'ctc': this model was trained for sop"):
        studio.run(tools.wav(tools.noise(1)), "ctc", "x", lambda event: None)
