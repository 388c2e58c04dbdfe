"""If these fail, the page gives wrong answers or files, shows tracebacks, or answers other pages."""

import json
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.utils import QueueError

from espnet2_sop.demo.app import build_app, launch, plain_name
from espnet2_sop.io.errors import UserError


@pytest.fixture(scope="module")
def heard():
    """What the model was given: (samples, mode)."""
    return []


@pytest.fixture(scope="module")
def address(tools, heard):
    def transcribe(waveform, mode, progress):
        heard.append((waveform, mode))
        if mode == "ctc":
            raise RuntimeError("out of luck")
        progress(len(waveform) / 16000)
        return tools.TALKERS

    with tools.serving(transcribe) as address:
        yield address


@pytest.fixture(scope="module")
def client(address, tmp_path_factory):
    return Client(
        address, verbose=False, httpx_kwargs={"timeout": 120}, download_files=str(tmp_path_factory.mktemp("downloads"))
    )


def ask(client, path, mode="sop"):
    """HTML and files of a recording."""
    page, *files = client.predict(handle_file(path) if path else None, mode, api_name="/transcribe")
    return page, files


def test_transcript_and_files_are_those_of_transcribe(client, tools, heard, wav):
    sound = tools.noise(2.5)
    page, files = ask(client, wav("my meeting.wav", sound))
    assert "2 talkers" in page and page.count('class="lane ') == 2
    found = {Path(file).name: Path(file).read_text() for file in files}
    assert list(found) == [f"my_meeting.{end}" for end in ("txt", "json", "seglst.json", "stm", "vtt", "srt")]
    (row,) = json.loads(found["my_meeting.json"])
    assert (row["id"], row["path"], row["seconds"]) == ("my_meeting", "my meeting.wav", 2.5)
    assert [talker["text"] for talker in row["talkers"]] == [talker.text for talker in tools.TALKERS]
    assert [row["speaker"] for row in json.loads(found["my_meeting.seglst.json"])] == ["1", "2"]
    assert "<v Talker 2>" in found["my_meeting.vtt"] and found["my_meeting.txt"].startswith("my_meeting move the red")
    waveform, mode = heard[-1]
    assert mode == "sop" and waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, sound, atol=1 / 32767)


@pytest.mark.parametrize(("rate", "kind"), [(48000, "wav"), (8000, "flac")])
def test_other_rates_channels_and_formats(client, heard, wav, rate, kind):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    ask(client, wav(f"tone.{kind}", np.stack([tone, np.zeros(rate)], 1), rate))
    waveform = heard[-1][0]
    expected = 0.25 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    np.testing.assert_allclose(waveform[800:-800], expected[800:-800], atol=0.01)


def test_bad_audio_is_one_line_and_never_reaches_the_model(client, tools, heard, wav, tmp_path, capfd):
    (tmp_path / "text.wav").write_bytes(b"RIFF this is no audio")
    whole = Path(wav("whole.flac", tools.noise(1))).read_bytes()
    (tmp_path / "half.flac").write_bytes(whole[: len(whole) // 2])
    count = len(heard)
    for path, words in (
        (None, "Record or upload audio first"),
        (str(tmp_path / "text.wav"), "Not a readable audio file"),
        (wav("long.wav", tools.noise(12)), "The recording lasts 12 s, at most 10 s are taken; cut it"),
        (wav("silent.wav", np.zeros(16000)), "The recording is silent"),
        (wav("short.wav", tools.noise(0.05)), "50 ms of audio; 100 ms are needed"),
        (str(tmp_path / "half.flac"), "The recording: the audio file is c"),  # corrupt or cut off
    ):
        page, files = ask(client, path)
        assert words in page and 'role="alert"' in page and "\n" not in page and str(tmp_path) not in page
        assert files == [None] * 6
    assert len(heard) == count and "Traceback" not in capfd.readouterr().err


def test_a_failing_model_is_one_line_and_the_page_goes_on(client, tools, wav, capfd):
    path = wav("a.wav", tools.noise(1))
    assert "The model failed (RuntimeError); the terminal of espnet2-sop demo says more" in ask(client, path, "ctc")[0]
    assert "out of luck" in capfd.readouterr().err
    assert "2 talkers" in ask(client, path)[0]


def test_one_recording_at_a_time(tools, wav):
    inside, most, gate = [], [], threading.Event()

    def transcribe(waveform, mode, progress):
        inside.append(1)
        most.append(len(inside))
        gate.wait(0.3)
        inside.pop()
        return tools.TALKERS

    with tools.serving(transcribe) as address:
        client = Client(address, verbose=False, httpx_kwargs={"timeout": 120})
        path = handle_file(wav("a.wav", tools.noise(1)))
        jobs = [client.submit(path, "sop", api_name="/transcribe") for _ in range(3)]
        pages = [job.result(timeout=60)[0] for job in jobs]
    assert all("2 talkers" in page for page in pages) and most == [1, 1, 1]


def test_only_so_many_wait(tools, wav, monkeypatch):
    monkeypatch.setattr("espnet2_sop.demo.app.MOST_WAITING", 1)
    gate = threading.Event()

    def transcribe(waveform, mode, progress):
        gate.wait(30)
        return tools.TALKERS

    def outcome(job):
        try:
            return "2 talkers" in job.result(timeout=60)[0]
        except QueueError:
            return "full"

    with tools.serving(transcribe) as address:
        client = Client(address, verbose=False, httpx_kwargs={"timeout": 120})
        path = handle_file(wav("a.wav", tools.noise(1)))
        jobs = [client.submit(path, "sop", api_name="/transcribe") for _ in range(5)]
        while not any(job.done() for job in jobs):  # nobody is answered before the gate opens
            time.sleep(0.05)
        gate.set()
        outcomes = [outcome(job) for job in jobs]
    assert set(outcomes) == {True, "full"}


def test_nothing_is_sent_elsewhere_and_nothing_is_recorded(address):
    config = httpx.get(f"{address}config").json()
    assert config["analytics_enabled"] is False and not config.get("run_history")
    page = httpx.get(address).text
    assert "googleapis" not in page and "cdnjs" not in page
    assert httpx.get(f"{address}monitoring", follow_redirects=True).status_code in (403, 404)


def test_other_names_of_this_machine_are_refused(address):
    for host, status in (("evil.example", 400), ("localhost:9", 200)):
        assert httpx.get(f"{address}config", headers={"Host": host}).status_code == status


def test_port_in_use_and_wrong_host_are_one_line(address):
    port = httpx.URL(address).port
    app = build_app("m", None, ["sop"])
    with pytest.raises(UserError, match=f"^--port {port}: in use or not allowed; give another"):
        launch(app, "127.0.0.1", port)
    for host in ("no.such.host.invalid", "192.0.2.1"):  # the second one is kept for documentation, nobody has it
        with pytest.raises(UserError, match=f"^--host {host}: no such address on this machine"):
            launch(app, host, None)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a b.wav", "a_b"),
        ("../../etc/pass wd", "pass_wd"),
        ("", "recording"),
        ("é\n\0x.y.flac", "é_x_y"),
    ],
)
def test_plain_names(name, plain):
    assert plain_name(name) == plain
