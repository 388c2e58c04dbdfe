"""If these fail, the page gets wrong answers, or other pages and names get any."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from espnet2_sop.demo.server import DemoServer, may_name_this_server, page_files, plain_name
from espnet2_sop.io.errors import UserError


@pytest.fixture(scope="module")
def heard():
    """What the model was given: (samples, mode)."""
    return []


@pytest.fixture(scope="module")
def server(tools, heard, tmp_path_factory):
    def transcribe(waveform, mode, progress):
        heard.append((waveform, mode))
        if mode == "ctc":
            raise RuntimeError("out of luck")
        progress(len(waveform) / 16000)
        return tools.TALKERS

    example = tmp_path_factory.mktemp("examples") / "two talkers.wav"
    example.write_bytes(tools.wav(tools.noise(1)))
    with tools.serving(transcribe, examples=[example]) as server:
        yield server


def ask(server, path, data=None, method=None, **headers):
    """(status, headers, body) of a request."""
    url = f"http://127.0.0.1:{server.server_address[1]}{path}"
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


def events(body):
    return [json.loads(line) for line in body.splitlines()]


def error_of(answer):
    status, _, body = answer
    (message,) = json.loads(body).values()
    assert "\n" not in message
    return status, message


def test_page_and_everything_it_names(server):
    status, headers, body = ask(server, "/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["Cache-Control"] == "no-store"
    assert b"<h1>" in body and b"http://" not in body and b"https://" not in body
    assert {"/", "/style.css", "/main.js", "/capture.js"} <= set(page_files())
    everything = b"".join(content for _, content in page_files().values()).decode()
    for path, (kind, content) in page_files().items():
        assert path == "/" or f'"{path}"' in everything, f"nothing loads {path}"
        _, headers, body = ask(server, path)
        assert (headers["Content-Type"], body) == (kind, content)


def test_state_names_modes_examples_and_limits(server):
    state = json.loads(ask(server, "/state")[2])
    assert [mode["name"] for mode in state["modes"]] == ["sop", "ctc"]
    assert state["examples"] == ["two talkers"] and state["max_seconds"] == 10 and state["max_bytes"] < 5e6


def test_transcribes_step_by_step(server, tools, heard):
    sound = tools.noise(2.5)
    status, headers, body = ask(server, "/transcribe?mode=sop&name=my%20file.wav", tools.wav(sound))
    read, working, part, done = events(body)
    assert status == 200 and headers["Connection"] == "close"
    assert read["event"] == "read" and read["seconds"] == 2.5 and max(read["peaks"]) == 1 and len(read["peaks"]) == 125
    assert working["event"] == "working" and part == {"event": "heard", "seconds": 2.5}
    first, second = done["talkers"]
    assert (first["onset"], first["text"], first["prompt"]) == (0.1, tools.TALKERS[0].text, tools.TALKERS[0].prompt)
    assert second["words"][1] == {"word": "go", "start": 1.55, "end": 1.75, "confidence": 0.4}
    assert done["counts"] == {"substituted": 1, "deleted": 1, "added": 1, "words": 13}
    assert json.loads(done["files"]["json"])[0]["id"] == "my_file"
    assert [row["speaker"] for row in json.loads(done["files"]["seglst"])] == ["1", "2"]
    assert done["files"]["vtt"].startswith("WEBVTT\n") and "<v Talker 2>" in done["files"]["vtt"]
    waveform, mode = heard[-1]
    assert mode == "sop" and waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, sound, atol=1 / 32767)
    assert events(ask(server, "/transcribe", tools.wav(sound))[2])[1]["expected"] > 0  # from the call before


@pytest.mark.parametrize(("rate", "kind"), [(48000, "WAV"), (8000, "FLAC"), (44100, "FLAC")])
def test_other_rates_channels_and_formats(server, tools, heard, rate, kind):
    time_ = np.arange(rate) / rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * time_)
    status, _, _ = ask(server, "/transcribe", tools.wav(np.stack([tone, np.zeros(rate)], 1), rate, kind))
    waveform = heard[-1][0]
    assert status == 200 and len(waveform) == 16000
    expected = 0.25 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    np.testing.assert_allclose(waveform[800:-800], expected[800:-800], atol=0.01)


def test_bad_audio_is_one_line_and_never_reaches_the_model(server, tools, heard):
    count = len(heard)
    whole = tools.wav(tools.noise(1), kind="FLAC")
    cases = [
        (b"", 415, "not a readable audio file"),
        (b"RIFF this is no audio", 415, "not a readable audio file"),
        (tools.wav(tools.noise(12)), 400, "lasts 12 s, at most 10 s"),
        (tools.wav(np.zeros(16000, "float32")), 400, "silent"),
        (tools.wav(tools.noise(0.05)), 400, "50 ms of audio; 100 ms are needed"),
        (whole[: len(whole) // 2], 400, "the recording: the audio file is c"),  # corrupt or cut off
    ]
    for data, expected, words in cases:
        status, message = error_of(ask(server, "/transcribe", data, method="POST"))
        assert (status, words in message) == (expected, True), message
    status, message = error_of(ask(server, "/transcribe?mode=sot", tools.wav(tools.noise(1))))
    assert status == 400 and "trained for sop and ctc" in message
    assert len(heard) == count


def test_too_large_is_refused_before_it_is_read(server):
    status, message = error_of(ask(server, "/transcribe", bytes(server.studio.max_bytes + 1)))
    assert status == 413 and "at most 4 MB" in message
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    connection.putrequest("POST", "/transcribe")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_length_has_to_be_known(server):
    for value in ("", "-1", "1e3"):
        connection = http.client.HTTPConnection(*server.server_address, timeout=10)
        connection.putrequest("POST", "/transcribe")
        if value:
            connection.putheader("Content-Length", value)
        connection.endheaders()
        assert connection.getresponse().status == 411
        connection.close()


def test_a_failing_model_is_one_line_and_the_server_goes_on(server, tools, capsys):
    status, _, body = ask(server, "/transcribe?mode=ctc", tools.wav(tools.noise(1)))
    assert status == 200 and events(body)[-1]["event"] == "error" and "RuntimeError" in events(body)[-1]["error"]
    assert "out of luck" in capsys.readouterr().err
    assert events(ask(server, "/transcribe", tools.wav(tools.noise(1)))[2])[-1]["event"] == "done"


def test_nothing_of_the_disk_but_the_page_and_the_examples(server):
    _, headers, body = ask(server, "/examples/0")
    assert headers["Content-Type"] == "audio/wav" and body[:4] == b"RIFF"
    for path in ("/../server.py", "/..%2fserver.py", "/%2e%2e/server.py", "//etc/passwd", "/examples/1", "/examples/-1",
                 "/examples/../0", "/examples/0/", "/examples/two talkers.wav", "/__init__.py", "/server.py",
                 "/examples/99999999999999999999", "/page/main.js"):  # fmt: skip
        connection = http.client.HTTPConnection(*server.server_address, timeout=10)
        connection.putrequest("GET", path.replace(" ", "%20"))
        connection.endheaders()
        assert connection.getresponse().status == 404, path
        connection.close()
    assert ask(server, "/state", b"x")[0] == 404 and ask(server, "/transcribe")[0] == 404
    for method in ("PUT", "DELETE", "OPTIONS", "HEAD"):
        assert ask(server, "/state", method=method)[0] == 501


def test_other_names_and_origins_are_refused(server, tools):
    sound, port = tools.wav(tools.noise(1)), server.server_address[1]
    assert ask(server, "/state", Host=f"evil.example:{port}")[0] == 403
    assert ask(server, "/transcribe", sound, Host="evil.example")[0] == 403
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{port + 1}", "http://localhost"):
        status, message = error_of(ask(server, "/transcribe", sound, Origin=origin))
        assert status == 403 and "other origins" in message
    for host in (f"localhost:{port}", "localhost:9000", f"127.0.0.1:{port}"):  # 9000: through a tunnel
        assert ask(server, "/transcribe", sound, Host=host, Origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize(
    ("host", "bound", "fine"),
    [
        ("localhost", "127.0.0.1", True),
        ("LOCALHOST:80", "127.0.0.1", True),
        ("[::1]:8000", "127.0.0.1", True),
        ("192.168.0.7:8000", "0.0.0.0", True),
        ("lab-machine:8000", "Lab-Machine", True),
        ("lab-machine:8000", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("evil.example#localhost", "127.0.0.1", False),
        ("user@evil.example", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("[::1", "127.0.0.1", False),
        ("", "127.0.0.1", False),
    ],
)
def test_names_of_this_server(host, bound, fine):
    assert may_name_this_server(host, bound) is fine


def test_one_call_at_a_time_and_a_bounded_queue(tools):
    from espnet2_sop.demo.turns import Turns

    inside, most, order, gate = [], [], [], threading.Event()

    def transcribe(waveform, mode, progress):
        inside.append(1)
        most.append(len(inside))
        order.append(len(waveform))
        gate.wait(20)
        inside.pop()
        return []

    with tools.serving(transcribe, turns=Turns(2)) as server:
        answers = {}

        def send(length):
            answers[length] = ask(server, "/transcribe", tools.wav(tools.noise(1)[:length]))

        threads = [threading.Thread(target=send, args=(16000 - n,)) for n in range(3)]
        for number, thread in enumerate(threads, 1):
            thread.start()
            wait_for(lambda n=number: len(server.studio.turns._line) == n)
        status, _, body = ask(server, "/transcribe", tools.wav(tools.noise(1)))
        assert "too many" in events(body)[-1]["error"]
        gate.set()
        for thread in threads:
            thread.join()
    assert max(most) == 1 and order == [16000, 15999, 15998]
    assert [events(a[2])[-1]["event"] for a in answers.values()] == ["done"] * 3
    assert {"event": "waiting", "ahead": 2} in events(answers[15998][2])


def test_who_went_away_while_waiting_is_not_transcribed(tools):
    gate, calls = threading.Event(), []

    def transcribe(waveform, mode, progress):
        calls.append(len(waveform))
        gate.wait(20)
        return []

    with tools.serving(transcribe) as server:
        first = threading.Thread(target=ask, args=(server, "/transcribe", tools.wav(tools.noise(1))))
        first.start()
        wait_for(lambda: calls)
        connection = http.client.HTTPConnection(*server.server_address, timeout=10)
        connection.request("POST", "/transcribe", tools.wav(tools.noise(2)))
        assert b"read" in connection.getresponse().readline()
        wait_for(lambda: len(server.studio.turns._line) == 2)
        connection.close()
        wait_for(lambda: len(server.studio.turns._line) == 1)
        gate.set()
        first.join()
        assert server.studio.turns.wait_until_idle(10)
    assert calls == [16000]


def test_port_in_use_and_wrong_host_are_one_line(server):
    port = server.server_address[1]
    with pytest.raises(UserError, match=rf"--port {port}: is in use; give another, such as --port {port + 1}"):
        DemoServer("127.0.0.1", port)
    for host in ("no.such.host.invalid", "192.0.2.1"):  # the second one is kept for documentation, nobody has it
        with pytest.raises(UserError, match=f"--host {host}: no such address"):
            DemoServer(host, 0)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a b.wav", "a_b"),
        ("../../etc/passwd", "etc_passwd"),
        ("", "recording"),
        ("é\n\0x.y.flac", "é_x_y"),
        ("v1.2 final", "v1_2_final"),
    ],
)
def test_plain_names(name, plain):
    assert plain_name(name) == plain
