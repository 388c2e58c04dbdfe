"""The page in a browser: choosing, reading, playing, recording, and what is said when something is wrong."""

import json

import numpy as np
import pytest

DONE = "document.querySelector('#result .sop') !== null"
PICK = "[...document.querySelectorAll('button')].find(button => button.textContent.trim() == {}).click()"


def press(browser, label):
    browser.run(PICK.format(json.dumps(label)))


def text(browser, selector):
    return browser.run(f"document.querySelector({json.dumps(selector)}).textContent")


@pytest.fixture(scope="module")
def address(tools, tmp_path_factory):
    import soundfile

    def transcribe(waveform, mode, progress):
        if len(waveform) > 5 * 16000:  # too many words for the width
            return [tools.talker(n, "extraordinary " * 20, "ordinary " * 21, 0.2 * n, 0.25) for n in (1, 2, 3)]
        return tools.TALKERS

    folder = tmp_path_factory.mktemp("examples")
    sounds = {"short": tools.noise(3), "wordy": tools.noise(9), "long": tools.noise(15), "silent": np.zeros(32000)}
    for name, samples in sounds.items():
        soundfile.write(folder / f"{name}.wav", samples, 16000)
    with tools.serving(transcribe, examples=sorted(folder.iterdir())) as address:
        yield address


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_from_example_to_words(address, browser, width, dark):
    browser.open(address, width, dark=dark)
    assert not browser.run("document.querySelector('#downloads').offsetHeight")
    press(browser, "short")
    browser.until(DONE)
    words = browser.run("[...document.querySelectorAll('.lane')].map(l => [...l.querySelectorAll('.word')]"
                        ".map(w => w.textContent).join(' '))")  # fmt: skip
    assert words == ["move the fed box near near the door", "tiger go to the kitchen"]
    assert text(browser, "#result article .substituted ins") == "red"
    assert text(browser, "#result article .deleted") == "near"
    assert text(browser, "#result article + article .added") == "now"
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.querySelectorAll('#downloads button').length") == 6
    assert browser.run("document.querySelector('#downloads').offsetHeight") > 0
    ink = browser.run("getComputedStyle(document.querySelector('.final')).color.match(/\\d+/g).map(Number)")
    assert (min(ink) > 128) == dark
    assert browser.complaints() == []
    assert not {url for url in browser.requests() if not url.startswith((address, "blob:", "data:"))}


def test_a_click_on_a_word_moves_the_player(address, browser):
    browser.open(address)
    press(browser, "short")
    browser.until(DONE)
    browser.until("[...document.querySelectorAll('time')].map(t => t.textContent).join() == '0:00,0:03'")
    browser.run("document.querySelectorAll('.lane')[1].querySelectorAll('.word')[3].click()")
    browser.until("document.querySelector('time').textContent == '0:02'")


def test_many_words_scroll_in_their_own_box(address, browser):
    browser.open(address, 390)
    press(browser, "wordy")
    browser.until(DONE)
    inner, box, page = browser.run("[document.querySelector('.timeline > div').offsetWidth, "
                                   "document.querySelector('.timeline').clientWidth, "
                                   "document.documentElement.scrollWidth]")  # fmt: skip
    assert inner > 2 * box and page <= 390
    overlapping = """(() => { const all = [...document.querySelectorAll('.lane')[0].querySelectorAll('.word')]
      .map(w => w.getBoundingClientRect());
      return all.some((a, i) => all.some((b, j) => i < j && a.left < b.right - 1 && b.left < a.right - 1
        && a.top < b.bottom - 1 && b.top < a.bottom - 1)) })()"""
    assert not browser.run(overlapping)


@pytest.mark.parametrize(("name", "said"), [("long", "lasts 15 s, at most 10 s"), ("silent", "recording is silent")])
def test_mistakes_are_one_line_on_the_page(address, browser, name, said):
    browser.open(address, 390)
    press(browser, name)
    browser.until(DONE)
    assert said in text(browser, "#result .error")
    assert browser.run("document.querySelector('#result .error').offsetHeight < 100")
    assert not browser.run("document.querySelector('#downloads').offsetHeight")
    assert browser.run("document.documentElement.scrollWidth") <= 390


def test_what_is_recorded_is_transcribed(address, browser):
    browser.open(address)
    press(browser, "Record")
    browser.until("[...document.querySelectorAll('time')].some(time => time.textContent == '0:02')")
    press(browser, "Stop")
    browser.until(DONE)
    assert 1.5 < float(text(browser, "#result p").split()[0]) < 5
    assert browser.complaints() == []
    browser.run("document.querySelector('button[aria-label=Clear]').click()")
    browser.until("document.querySelector('#result .sop') === null")
    press(browser, "Transcribe")
    browser.until("document.querySelector('#result .error')?.textContent == 'Record or upload audio first'")
