"""The whole report. If these fail, a colleague gets a page that is broken, unsafe or needs a network."""

import base64
import json
import os
import re
import shutil
from html.parser import HTMLParser

import pytest

from espnet2_sop.bin import analyse, cli, report
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_kaldi, write_kaldi
from espnet2_sop.report import gallery
from espnet2_sop.report import page as page_module
from espnet2_sop.scoring.record import score, write_record

VOID = {"meta", "br", "hr", "img", "link", "input"}
EVIL = "<script>alert(1)</script>\"'&<b>"


class Page(HTMLParser):
    """Checks that elements are closed in order and gathers what matters here."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.tags, self.words = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves out the drawing, which takes seconds, where a test is about the rest of the page."""
    monkeypatch.setattr(page_module, "panel_svg", lambda panel, prefix: f"<svg id='{prefix}'></svg>")
    monkeypatch.setattr(page_module, "save_figure", lambda figure, looks, folder: [folder / f"{figure.name}.svg"])


def make(exp, *options):
    report.main([str(exp), *options])
    return (exp / "report.html").read_text(encoding="utf-8")


def test_report_of_an_experiment(experiment, capsys):
    text = make(experiment)
    page = Page(text)
    for words in (
        "recipe/exp",
        "sop and sot_continued",
        "Paired comparisons",
        "cpWER of parts of the test sets",
        "cpWER against overlap",
        "Real-time factor",
    ):
        assert words in page.text
    assert "Stage 1: SOT fine-tuning" in page.text and "Stage 3: SOP adaptation and its control" in page.text
    assert (
        "No training log" not in page.text
        and "86.21 K" in page.text
        and "9.99 M" in page.text
        and "3 min 14 s" in page.text
    )
    assert "valid acc 0.800, epoch 1" in page.text and "2.14.1+cu130" in page.text
    assert page.tags.count("audio") == page.tags.count("article") == 6
    assert "too" in page.words and "extra" in page.text
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "report.html" in out and "MB" in out
    names = {path.name for path in (experiment / "report").iterdir()}
    assert {"cpwer.svg", "cpwer.png", "overlap.svg", "prompt.png", "counts.svg", "curves_stage3.svg"} <= names


@pytest.mark.slow
def test_page_needs_nothing_else(experiment):
    text = make(experiment)
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "img"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href"):
            assert value.startswith(("data:audio/flac;base64,", "data:image/png;base64,", "#"))
    assert "default-src 'none'" in text and "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_audio_is_in_the_page(experiment, undrawn):
    found = re.findall(r'src="data:audio/flac;base64,([^"]+)"', make(experiment, "--examples", "2"))
    assert len(found) == 2 and all(base64.b64decode(data).startswith(b"fLaC") for data in found)


def test_everything_from_files_is_escaped(recipe, references, add_result):
    ids = {key: f"{EVIL}{key}" for key in references["test_2mix_noisy"]}
    data = recipe / "dump" / "test_2mix_noisy"
    for path in data.iterdir():
        if path.name != "info.json":
            rows = path.read_text()
            for key, name in ids.items():
                shown = json.dumps(name)[1:-1] if path.suffix in (".json", ".jsonl") else name
                rows = re.sub(rf"\b{key}\b", lambda _, shown=shown: shown, rows)
            path.write_text(rows)
    manifest = (data / "mixtures.jsonl").read_text()
    (data / "mixtures.jsonl").write_text(manifest.replace('"speaker0"', json.dumps(EVIL)))
    texts = read_kaldi(data / "text")
    hyps = {key: f"{EVIL} <sc> $x_1$ **bold** `code`" for key in texts}
    name = EVIL.replace("/", "\\")  # a folder
    os.rename(data, recipe / "dump" / name)
    add_result(recipe, name, name, hyps, prompt={key: f"{EVIL} prompt" for key in texts})
    add_result(recipe, "sop$x_1$", name, texts)
    run = recipe / "exp" / f"stage1_{name}"
    run.mkdir()
    (run / "train.log").write_text("1epoch results: [train] loss=1.0, [valid] loss=2.0\n")
    (run / "config.yaml").write_text(f"init_param: [{json.dumps(EVIL)}]\n")
    page = Page(make(recipe / "exp"))
    assert not {"script", "b><", "img"} & set(page.tags)
    assert EVIL.replace("/", "\\") in "".join(page.words) and "$x_1$" in "".join(page.words)
    assert not any(name.startswith("on") for name, _ in page.attributes)


def test_no_training_logs_and_one_system(recipe, references, add_result, undrawn):
    add_result(recipe, "ours", "test_1mix_clean", references["test_1mix_clean"])
    page = Page(make(recipe / "exp"))
    assert "No training log (train.log with finished epochs) for: ours." in page.text
    assert "No system here reads a prompt." in page.text
    assert "cpWER against" not in page.text and "Paired" not in page.text


def test_a_training_that_has_not_finished_an_epoch(experiment, undrawn):
    (experiment / "stage3_sop" / "train.log").write_text("Model structure:\n")
    page = Page(make(experiment))
    assert "No training log (train.log with finished epochs) for: sop." in page.text


def test_no_audio(experiment, undrawn):
    shutil.rmtree(experiment.parent / "audio")
    page = Page(make(experiment))
    assert "audio" not in page.tags and page.text.count("No player: no audio: audio/0.wav") == 6
    assert page.tags.count("article") == 6


def test_broken_audio_is_a_note(experiment, undrawn):
    (experiment.parent / "audio" / "0.wav").write_bytes(b"RIFF")
    assert "not a readable audio file" in Page(make(experiment)).text


def test_audio_is_bounded(experiment, monkeypatch, undrawn):
    monkeypatch.setattr(gallery, "AUDIO_BYTES", 20_000)
    page = Page(make(experiment))
    assert 0 < page.tags.count("audio") < 6 and "audio are the most that a report holds" in page.text


def test_no_manifest(experiment, undrawn):
    for path in (experiment.parent / "dump").glob("*/mixtures.jsonl"):
        path.unlink()
    page = Page(make(experiment))
    assert "audio" not in page.tags and page.tags.count("article") == 6 and "does not have this mixture" in page.text


def test_data_is_gone(experiment, undrawn):
    shutil.rmtree(experiment.parent / "dump")
    page = Page(make(experiment))
    assert "is not where score.json says" in page.text and "No examples" in page.text
    assert "article" not in page.tags and "cpWER against overlap" not in page.text


def test_no_examples(experiment, undrawn):
    assert "article" not in Page(make(experiment, "--examples", "0")).tags


def test_hypotheses_that_lack_mixtures(experiment, references, undrawn):
    folder = experiment / "decode" / "sop" / "test_2mix_noisy"
    texts = read_kaldi(folder / "text")
    del texts["mix0"]
    write_kaldi(folder / "text", texts.items())
    (folder / "speed.json").unlink()
    (folder / "prompt").unlink()
    write_record(folder, score(experiment.parent / "dump" / "test_2mix_noisy", folder))
    Page(make(experiment, "--examples", "100"))


@pytest.mark.slow
def test_many_systems_in_one_report(recipe, references, add_result):
    texts = references["test_2mix_noisy"]
    for number in range(16):
        hyp = {key: text.replace("TWO", f"NR{number}") if key > "mix2" else text for key, text in texts.items()}
        add_result(recipe, f"sop_variant{number}", "test_2mix_noisy", hyp, prompt=texts)
    page = Page(make(recipe / "exp"))
    assert "16 systems" in page.text and len((recipe / "exp" / "report.html").read_bytes()) < 3e6


@pytest.mark.slow
def test_a_system_far_off(experiment, references, add_result):
    wrong = {key: "no " * 60 for key in references["test_2mix_noisy"]}
    add_result(experiment.parent, "espnet_sot", "test_2mix_noisy", wrong)
    text = Page(make(experiment)).text
    assert "espnet_sot: 600 %, outside" in text or re.search(r"espnet_sot: \d{3} %, outside", text)


def test_a_decoder_that_loops(experiment, references, add_result, undrawn):
    wrong = {key: text + " again" * 300 for key, text in references["test_2mix_noisy"].items()}
    add_result(experiment.parent, "espnet_sot", "test_2mix_noisy", wrong)
    page = Page(make(experiment))
    assert "+ again again again again … 300 words" in page.text and page.text.count("again") < 100


def test_prompt_quality(experiment, undrawn):
    """Beside what the LLM repairs stands what the control "repairs", which saw no prompt."""
    folder = experiment / "decode" / "sop" / "test_2mix_noisy"
    assert "Not analysed: sop on test_1mix_clean, sop on test_2mix_noisy; run" in Page(make(experiment)).text
    for name in ("test_1mix_clean", "test_2mix_noisy"):
        hyp = str(experiment / "decode" / "sop" / name)
        analyse.main(["--data", str(experiment.parent / "dump"), "--control", "sot_continued", hyp])
    page = Page(make(experiment))
    for words in ("Does the LLM mend the prompt?", "repair rate control (sot_continued) break rate", "still wrong"):
        assert words in page.text
    assert "Not analysed" not in page.text
    path = folder / "prompt_quality.json"
    quality = json.loads(path.read_text())
    words = {**quality["words"], "all": 1}
    for key, wrong in (("correlation", None), ("words", words), ("onset_error", {}), ("control", {"system": 1})):
        path.write_text(json.dumps({**quality, key: wrong}))
        with pytest.raises(UserError, match=f"prompt_quality.json: .*{key}.*run `espnet2-sop analyse` again"):
            make(experiment)


@pytest.mark.parametrize("wrong", [{"real_time_factor": "x"}, {"threads": None}, {"gpu": 3}])
def test_speed_of_a_wrong_kind_is_one_line(experiment, undrawn, wrong):
    path = experiment / "decode" / "sop" / "test_2mix_noisy" / "speed.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    with pytest.raises(UserError, match="speed.json: .*decode again"):
        make(experiment)


@pytest.mark.slow
def test_options(experiment, tmp_path):
    report.main([str(experiment), "--out", str(tmp_path / "new" / "r.html"), "--plots", str(tmp_path / "figures")])
    assert (tmp_path / "new" / "r.html").is_file() and (tmp_path / "figures" / "cpwer.svg").is_file()
    assert not (experiment / "report.html").exists() and not (experiment / "report").exists()


def test_what_is_there_stays_when_it_fails(experiment):
    (experiment / "report.html").write_text("old")
    (experiment / "decode" / "sop" / "test_2mix_noisy" / "speed.json").write_text("{")
    assert cli.run("report", [str(experiment)]) == 1
    assert (experiment / "report.html").read_text() == "old"
    assert not list(experiment.glob(".*part"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere"], "nowhere: no such folder; give the experiment folder, such as exp"),
        (["recipe/audio"], "no score.json below recipe/audio; run `espnet2-sop score` first"),
        (["recipe", "--examples", "-1"], "--examples -1: give the number of examples, 0 for none"),
    ],
)
def test_mistakes_are_one_line(recipe, monkeypatch, capsys, options, message):
    monkeypatch.chdir(recipe.parent)
    assert cli.run("report", options) == 1
    assert capsys.readouterr().err == f"espnet2-sop report: error: {message}\n"


def test_broken_files_are_one_line(experiment, capsys):
    folder = experiment.parent / "dump" / "test_2mix_noisy"
    (folder / "utt2overlap").write_text("mix0 0.1\nmix1 much\n")
    assert cli.run("report", [str(experiment)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "utt2overlap, line 2: 'much' is not a number" in error


@pytest.mark.parametrize("width", [390, 1280])
def test_no_sideways_scrolling_in_a_browser(experiment, browse, width):
    make(experiment)
    browser = browse()
    browser.open((experiment / "report.html").as_uri(), width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.documentElement.scrollHeight") > 3000, "there is something to scroll"
    assert browser.complaints() == []


def test_colours_of_a_dark_page(experiment, browse):
    """Text, figures and words are readable on a dark page."""
    make(experiment)
    browser = browse()
    style = "getComputedStyle(document.querySelector('{}')).{}"
    seen = []
    for dark in (False, True):
        browser.open((experiment / "report.html").as_uri(), dark=dark)
        places = (("body", "backgroundColor"), ("body", "color"), (".panels svg text", "fill"), (".interval", "color"))
        seen.append([sum(map(int, re.findall(r"\d+", browser.run(style.format(*place))))) for place in places])
    (paper, *ink), (dark_paper, *dark_ink) = seen
    assert paper - max(ink) > 300 and min(dark_ink) - dark_paper > 300
