"""The page in a browser: choosing, hearing, reading, recording, and what is said when something is wrong."""

import json
import threading

import pytest

from espnet2_sop.demo.turns import Turns

CHOOSE = """
(async (seconds, name, value) => {
  const {encodeWav} = await import('/wav.js');
  const samples = new Float32Array(16000 * seconds).map((_, i) => value * Math.sin(i / 20));
  const files = new DataTransfer();
  files.items.add(new File([encodeWav(samples)], name));
  const input = document.getElementById('file');
  input.files = files.files;
  input.dispatchEvent(new Event('change'));
})"""
DONE = "!document.getElementById('result').hidden && document.getElementById('progress').hidden"
FAILED = "!document.getElementById('error').hidden"


def text(browser, selector):
    return browser.run(f"document.querySelector({json.dumps(selector)}).textContent")


@pytest.fixture(scope="module")
def server(tools, tmp_path_factory):
    def transcribe(waveform, mode, progress):
        if len(waveform) > 5 * 16000:
            return [
                tools.talker(n, "extraordinary " * 20, "ordinary " * 21, 0.2 * n, 0.25) for n in (1, 2, 3)
            ]  # too many words for the width
        return tools.TALKERS

    folder = tmp_path_factory.mktemp("examples")
    (folder / "two_talkers.wav").write_bytes(tools.wav(tools.noise(3)))
    with tools.serving(transcribe, examples=[folder / "two_talkers.wav"]) as server:
        yield server


def address(server):
    return f"http://127.0.0.1:{server.server_address[1]}/"


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_from_example_to_words(browser, server, width, dark):
    browser.open(address(server), width, dark=dark)
    browser.run("document.querySelector('#examples button').click()")
    browser.until(DONE)
    words = browser.run("[...document.querySelectorAll('.lane')].map(l => [...l.querySelectorAll('.word')]"
                        ".map(w => w.textContent).join(' '))")  # fmt: skip
    assert words == ["move the fed box near near the door", "tiger go to the kitchen"]
    assert text(browser, "#talkers article .substituted ins") == "red"
    assert text(browser, "#talkers article .deleted del") == "near"
    assert text(browser, "#talkers article + article .added ins") == "now"
    assert "1 replaced, 1 dropped, 1 added" in text(browser, "#summary")
    assert "<sc>" in text(browser, "#serialized dd")
    assert browser.run("document.documentElement.scrollWidth") <= width
    # a word stands where it is said: the scale is that of the ruler
    scale = browser.run("(() => { const m = [...document.querySelectorAll('.ruler span')];"
                        " return (m[2].offsetLeft - m[0].offsetLeft) / parseFloat(m[2].textContent) })()")  # fmt: skip
    left = browser.run("document.querySelectorAll('.lane')[1].querySelector('.word').offsetLeft")
    assert left == pytest.approx(1.2 * scale, abs=2)
    assert browser.run("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 24, 28)" if dark else "rgb(244, 245, 247)"
    )
    assert browser.complaints() == []
    outside = {url for url in browser.requests() if not url.startswith((address(server), "blob:"))}
    assert not outside


def test_a_word_plays_from_its_time_and_the_head_moves(browser, server):
    browser.open(address(server))
    browser.run("document.querySelector('#examples button').click()")
    browser.until(DONE)
    browser.until("document.getElementById('audio').readyState >= 2")
    browser.run("document.querySelectorAll('.lane')[1].querySelector('.word').click()")
    browser.until("document.getElementById('audio').currentTime > 1.3")
    assert browser.run("document.getElementById('play').getAttribute('aria-label')") == "Pause"
    browser.until("[...document.querySelectorAll('.word.now')].length > 0")
    browser.run("document.getElementById('play').click()")
    head = browser.run("new DOMMatrix(getComputedStyle(document.querySelector('.playhead')).transform).m41")
    assert head > 1.2 * browser.run("document.querySelector('.inner').offsetWidth / 3.2")
    # arrow keys go from word to word, Tab stops once
    browser.run("document.querySelector('.word').focus()")
    for key, word in (("ArrowRight", "the"), ("ArrowDown", "tiger"), ("End", "kitchen"), ("Home", "move")):
        browser.call("Input.dispatchKeyEvent", type="rawKeyDown", key=key, code=key)
        assert browser.run("document.activeElement.textContent") == word
    assert browser.run("document.querySelectorAll('.word[tabindex=\"0\"]').length") == 1


def test_modes_keep_the_audio_and_their_results(browser, server):
    browser.open(address(server))
    browser.run("document.querySelector('#examples button').click()")
    browser.until(DONE)
    browser.run("document.querySelectorAll('#modes input')[1].click()")
    browser.until(f"{DONE} && document.getElementById('summary').textContent.includes('no LLM')")
    assert browser.run("document.getElementById('marks').hidden")
    browser.run("document.querySelectorAll('#modes input')[0].click()")
    assert "1 replaced" in text(browser, "#summary")
    browser.run("0")
    assert sum("/transcribe" in e["params"]["request"]["url"] for e in browser.events
               if e.get("method") == "Network.requestWillBeSent") == 2  # fmt: skip


def test_a_long_recording_scrolls_in_its_own_box(browser, server):
    browser.open(address(server), 390)
    browser.run(CHOOSE + "(9, 'a long one.wav', 0.5)")
    browser.until(DONE)
    assert text(browser, "#recording-title") == "a long one"
    inner, box, page = browser.run("[document.querySelector('.inner').offsetWidth, "
                                   "document.getElementById('timeline').clientWidth, "
                                   "document.documentElement.scrollWidth]")  # fmt: skip
    assert inner > 2 * box and page <= 390
    overlapping = """(() => { const all = [...document.querySelectorAll('.lane')[0].querySelectorAll('.word')]
      .map(w => w.getBoundingClientRect());
      return all.some((a, i) => all.some((b, j) => i < j && a.left < b.right - 1 && b.left < a.right - 1
        && a.top < b.bottom - 1 && b.top < a.bottom - 1)) })()"""
    assert not browser.run(overlapping)


@pytest.mark.parametrize(
    ("seconds", "value", "said"), [(15, 0.5, "lasts 15 s, at most 10 s"), (2, 0, "silent"), (60, 0.5, "lasts 60 s")]
)
def test_mistakes_are_one_line_on_the_page(browser, server, seconds, value, said):
    browser.open(address(server), 390)
    browser.run(CHOOSE + f"({seconds}, 'x.wav', {value})")
    browser.until(FAILED)
    assert said in text(browser, "#error")
    assert browser.run("document.getElementById('progress').hidden && document.getElementById('recording').hidden")
    assert browser.run("document.documentElement.scrollWidth") <= 390


def test_recording_is_sent_as_wav(browser, server):
    browser.open(address(server))
    browser.run("document.getElementById('record').click()")
    browser.until("document.getElementById('record-label').textContent >= 'Stop  0:01.5'")
    browser.run("document.getElementById('record').click()")
    browser.until(DONE)
    assert text(browser, "#recording-title").startswith("recording ")
    assert 1.2 < float(text(browser, "#facts").split()[0]) < 5
    assert browser.complaints() == []


WEBM = """
(async () => {
  const context = new AudioContext();
  const sound = new OscillatorNode(context), out = context.createMediaStreamDestination();
  sound.connect(out);
  sound.start();
  const recorder = new MediaRecorder(out.stream), pieces = [];
  recorder.ondataavailable = (event) => pieces.push(event.data);
  const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start();
  await new Promise((resolve) => setTimeout(resolve, 1200));
  recorder.stop();
  await stopped;
  const files = new DataTransfer(), input = document.getElementById('file');
  files.items.add(new File(pieces, 'a.webm', { type: 'audio/webm' }));
  input.files = files.files;
  input.dispatchEvent(new Event('change'));
})()"""


def test_what_only_the_browser_can_decode_is_converted_there(browser, server):
    browser.open(address(server))
    browser.run(WEBM)
    browser.until(DONE)
    assert 0.5 < float(text(browser, "#facts").split()[0]) < 3
    browser.open(address(server))
    browser.run("(() => { const files = new DataTransfer(), input = document.getElementById('file');"
                "files.items.add(new File(['no audio'], 'x.wav')); input.files = files.files;"
                "input.dispatchEvent(new Event('change')) })()")  # fmt: skip
    browser.until(FAILED)
    assert text(browser, "#error").startswith("Not a readable audio file")


def test_waiting_and_working_are_shown(browser, tools):
    gate = threading.Event()

    def transcribe(waveform, mode, progress):
        gate.wait(30)
        return tools.TALKERS

    with tools.serving(transcribe, turns=Turns(2)) as server:
        browser.open(address(server))
        browser.run(CHOOSE + "(1, 'x.wav', 0.5)")
        browser.until("document.getElementById('progress-text').textContent.includes('listening')")
        assert browser.run("document.getElementById('recording').hidden") is False  # it can be heard already
        gate.set()
        browser.until(DONE)


def test_a_server_that_is_gone_is_said(browser, server):
    browser.open(address(server))
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.run("import('/wav.js').then(() => 0)")  # what CHOOSE needs
    browser.call("Network.emulateNetworkConditions", offline=True, **offline)
    browser.run(CHOOSE + "(1, 'x.wav', 0.5)")
    browser.until(FAILED)
    browser.call("Network.emulateNetworkConditions", offline=False, **offline)
    assert "still running" in text(browser, "#error")


def test_parts_of_a_long_recording(browser, tools):
    def transcribe(waveform, mode, progress):
        return [tools.talker(1, "red box", "red box", 0.5, segment=(0.0, 4.0)),
                tools.talker(2, "blue key", "blue", 1.0, segment=(0.0, 4.0)),
                tools.talker(1, "green", "green cup", 5.0, segment=(4.5, 9.0))]  # fmt: skip

    with tools.serving(transcribe) as server:
        browser.open(address(server))
        browser.run(CHOOSE + "(9, 'x.wav', 0.5)")
        browser.until(DONE)
    lanes = browser.run("[...document.querySelectorAll('.lane')].map(l => [...l.querySelectorAll('.word')]"
                        ".map(w => w.textContent).join(' '))")  # fmt: skip
    assert lanes == ["red box green", "blue key"]
    assert browser.run("document.querySelectorAll('.border').length") == 1
    assert text(browser, "#summary").startswith("2 parts, up to 2 talkers")
    assert browser.run("[...document.querySelectorAll('h3.part')].map(h => h.textContent)") == [
        "0:00.0 – 0:04.0",
        "0:04.5 – 0:09.0",
    ]
