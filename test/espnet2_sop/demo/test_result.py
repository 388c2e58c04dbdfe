"""If these fail, the page draws words at wrong times, hides some, or takes their text for HTML."""

import re

import numpy as np
import pytest

from espnet2_sop.demo.audio import peaks
from espnet2_sop.demo.changes import changes
from espnet2_sop.demo.lanes import MOST_ROWS, lanes, rows, smallest_scale, stretches, width
from espnet2_sop.demo.transcript import complaint, show
from espnet2_sop.text.ctm import TimedWord


def words(*starts, word="word"):
    return [TimedWord(1, start, 0.2, word, 0.9) for start in starts]


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
    assert " ".join(f"{c.kind}:{short[c.kind].format(**c._asdict())}" for c in line) == expected
    assert [c.word for c in line if c.word] == final.split()
    assert [c.prompt for c in line if c.prompt] == prompt.split()


def test_peaks_follow_the_waveform():
    wave = np.concatenate([np.full(16000, 0.1), np.full(16000, -0.5)]).astype("float32")
    assert peaks(wave) == [0.2] * 50 + [1.0] * 50
    assert len(peaks(np.ones(16000 * 600, "float32"))) == 2000
    assert peaks(np.ones(10, "float32")) == [1.0]


def test_one_lane_for_each_talker_in_order_of_start(tools):
    page = lanes(tools.TALKERS[::-1], [0.5, 1.0], 4.0)
    assert re.findall('aria-label="(Talker.*?)"', page) == ["Talker 1, starts at 0.10 s", "Talker 2, starts at 1.20 s"]
    first, second = (re.findall(r'class="word (.*?)".*?>(\w+)<', lane) for lane in page.split('class="lane ')[1:])
    assert [word for _, word in first] == tools.TALKERS[0].prompt.split()
    assert [kind for kind, _ in first].count("deleted") == 1 and ("substituted", "fed") in first
    assert [word for _, word in second] == tools.TALKERS[1].prompt.split()


def test_a_word_stands_where_it_is_said(tools):
    page = lanes(tools.TALKERS, [1.0], 4.0)
    marks = {float(t): float(left) for left, t in re.findall(r'left:([\d.]+)%">([\d.]+) s<', page)}
    share = marks[2.0] / 2
    left = {word: float(x) for x, word in re.findall(r'class="word .*?left:([\d.]+)%.*?>(\w+)<', page)}
    assert left["tiger"] == pytest.approx(1.2 * share, abs=0.01)
    assert left["kitchen"] == pytest.approx(2.6 * share, abs=0.01)
    assert re.search(r'<svg[^>]*style="width:([\d.]+)%', page)[1] == f"{4 * share:.3f}"


def test_words_of_a_lane_never_overlap_and_fit_into_few_rows():
    rng = np.random.default_rng(1)
    for _ in range(20):
        lane = words(*np.sort(rng.uniform(0, 10, 30)), word="extraordinary")
        scale = smallest_scale([lane], 10)
        places = rows(lane, scale)
        assert scale >= 400 or max(places) < MOST_ROWS
        for row in set(places):
            own = [word for word, place in zip(lane, places, strict=True) if place == row]
            assert all(a.start * scale + width(a) <= b.start * scale for a, b in zip(own, own[1:], strict=False))
    assert rows(words(0, 0.01, 5), 100) == [0, 1, 0]
    assert width(words(0, word="語")[0]) > width(words(0, word="a")[0])


def test_bars_end_at_pauses():
    assert stretches(words(0, 0.5, 3.0)) == [(0, 0.7), (3.0, 3.2)]


def test_texts_are_no_html(tools):
    evil = tools.talker(1, "<script>x</script> a&b", "<img/onerror=x> b", 0.0)
    for mode in ("sop", "ctc", "sot"):
        page = show([evil], mode, [1.0], 3.0, 1.0)
        assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page
    assert "<b>" not in complaint("<b>")


def test_what_is_shown_depends_on_the_mode(tools):
    page = show(tools.TALKERS, "sop", [1.0], 4.0, 0.5)
    assert "2 talkers; of 13 words of the prompt the LLM changed some: 1 replaced, 1 dropped, 1 added." in page
    assert '<ins class="added" title="added by the LLM">now</ins>' in page
    assert '<span class="substituted" title="instead of fed"><del>fed</del> <ins>red</ins></span>' in page
    page = show(tools.TALKERS, "ctc", [1.0], 4.0, 0.5)
    assert "by the CTC heads alone" in page and "<ins" not in page and "lane" in page
    wordless = [tools.talker(1, "", "a b", 0.0)]
    page = show(wordless, "sot", [1.0], 4.0, 0.5)
    assert "no word times" in page and 'class="lane ' not in page
    assert "heard nobody" in show([], "sop", [1.0], 4.0, 0.5)


def test_parts_of_a_long_recording(tools):
    parts = [
        tools.talker(1, "a b", "a b", 0.5, segment=(0.0, 30.0)),
        tools.talker(2, "c", "c", 1.0, segment=(0.0, 30.0)),
        tools.talker(1, "d e", "d e", 31.0, segment=(30.0, 75.2)),
    ]
    page = show(parts, "sop", [1.0], 75.2, 3.0)
    assert "2 parts, up to 2 talkers; of 5 words of the prompt the LLM kept all." in page
    assert "<h3>0:30.0 – 1:15.2</h3>" in page and "counted anew" in page
    assert page.count('class="border"') == 1 and page.count('class="lane ') == 2
    assert re.search(r'aria-label="Talker 1, of each part">.*d</span>', page)
