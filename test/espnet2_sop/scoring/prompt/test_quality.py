"""From folders to prompt_quality.json with the command."""

import json

import numpy as np
import pytest

from espnet2_sop.bin import analyse, score
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import write_kaldi
from espnet2_sop.mixture.datadir import write_data_dir
from espnet2_sop.mixture.manifest import Mixture, Source
from espnet2_sop.scoring.prompt.quality import by_prompt_quality, read_record
from espnet2_sop.scoring.prompt.summary import prompt_document
from espnet2_sop.scoring.rates import ErrorCount
from espnet2_sop.text.ctm import TimedWord, write_ctm

SET = "test_2mix_clean"
WORDS = [f"W{i}" for i in range(9)]


def spoil(rng, words, rate):
    """Words of a talker, some of them deleted, replaced or followed by another one."""
    out = []
    for word in words:
        change = rng.choice(["", "delete", "replace", "insert"], p=[1 - rate, rate / 3, rate / 3, rate / 3])
        out += {"": [word], "delete": [], "replace": [str(rng.choice(WORDS))], "insert": [word, "uh"]}[change]
    return out


@pytest.fixture
def root(tmp_path):
    """30 mixtures of two talkers, 6 words at 0.25 s each, the second from 1 s on; prompts of all qualities."""
    rng = np.random.default_rng(6)
    mixtures, rows = [], {name: {} for name in ("prompt", "text", "onsets", "control", "ctm")}
    for number in range(30):
        key = f"mix{number:02d}"
        ref = [[str(w) for w in rng.choice(WORDS, size=6)] for _ in range(2)]
        sources = [
            Source(f"{key}-{i}.wav", f"s{i}", " ".join(words), onset=float(i), gain=1.0, num_samples=24000)
            for i, words in enumerate(ref)
        ]
        mixtures.append(Mixture(key, tuple(sources)))
        prompt = [[w.lower() for w in spoil(rng, words, number / 40)] for words in ref]
        final = [spoil(rng, words, 0.2) for words in prompt]
        rows["prompt"][key] = " <sc> ".join(" ".join(t) for t in prompt if t)
        rows["text"][key] = " <sc> ".join(" ".join(t) for t in final if t)
        rows["control"][key] = " <sc> ".join(" ".join(spoil(rng, words, 0.3)) for words in ref)
        rows["onsets"][key] = " ".join(f"{i + 0.1:.3f}" for i, t in enumerate(prompt) if t)
        rows["ctm"][key] = [
            TimedWord(i + 1, i + 0.25 * k, 0.08, w, 0.9) for i, t in enumerate(prompt) for k, w in enumerate(t)
        ]
    write_data_dir(mixtures, tmp_path / "data" / SET, "clean", 2)
    folder = tmp_path / "decode/sop" / SET
    for name in ("prompt", "onsets", "text"):
        write_kaldi(folder / name, rows[name].items())
    write_ctm(folder / "prompt.ctm", rows["ctm"].items())
    write_kaldi(tmp_path / "decode/sot" / SET / "text", rows["control"].items())
    return tmp_path


def run(root, *options):
    folder = root / "decode/sop" / SET
    analyse.main(["--data", str(root / "data"), str(folder), *options])
    return read_record(folder / "prompt_quality.json")


def test_rates_are_those_of_score(root, capsys):
    """The final text has the cpWER of score.json; every total is that of the rows of `per_mixture`."""
    record = run(root)
    score.main(["--data", str(root / "data"), str(root / "decode/sop" / SET)])
    scored = json.loads((root / "decode/sop" / SET / "score.json").read_text())
    assert record["final"] == scored["metrics"]["cpwer"]
    assert (record["system"], record["test_set"], record["mixtures"]) == ("sop", SET, 30)
    for side in ("prompt", "final"):
        rows = [row[side] for row in record["per_mixture"].values()]
        assert record[side]["errors"] == sum(sum(row[:3]) for row in rows)
        assert record[side]["words"] == sum(row[3] for row in rows) == 360
    assert [row["final"] for row in record["per_mixture"].values()] == [
        row["cpwer"] for row in scored["per_mixture"].values()
    ]


def test_parts_add_up(root):
    record = run(root)
    parts = record["words"]
    assert parts["overlapped"]["words"] + parts["single"]["words"] == parts["all"]["words"] == 360
    for name in ("kept", "repaired", "broken", "still_wrong", "copied", "inserted_kept", "inserted_removed"):
        assert parts["overlapped"][name] + parts["single"][name] == parts["all"][name]
    everything = parts["all"]
    assert everything["kept"] + everything["broken"] == 360 - sum(
        record["prompt"][k] for k in ("substitutions", "deletions")
    )
    assert everything["kept"] + everything["repaired"] == 360 - sum(
        record["final"][k] for k in ("substitutions", "deletions")
    )
    bins = record["by_prompt_quality"]
    assert sum(row["mixtures"] for row in bins) == 30 and sum(row["words"] for row in bins) == 360
    rates = [
        [sum(row[side][:3]) / row[side][3] for row in record["per_mixture"].values()] for side in ("prompt", "final")
    ]
    assert record["correlation"]["pearson"]["value"] == pytest.approx(np.corrcoef(rates)[0, 1], abs=5e-4)
    assert record["onset_error"]["bias"] == pytest.approx(100, abs=40) and record["onset_error"]["talkers"] == 60


def test_bins_against_a_slow_loop():
    rng = np.random.default_rng(7)
    pairs = [(ErrorCount(words=5), ErrorCount(1, words=5)), (ErrorCount(2, 0, 4, 4), ErrorCount(words=4))]
    for _ in range(200):
        words = int(rng.integers(1, 30))
        pairs.append(
            tuple(ErrorCount(int(rng.integers(0, words + 1)), 0, int(rng.integers(0, 9)), words) for _ in "ab")
        )
    bins = by_prompt_quality(pairs)
    assert [(row["low"], row["high"]) for row in bins] == [(0, 0), (0, 10), (10, 25), (25, 50), (50, 100), (100, None)]
    for row in bins:
        inside = []
        for prompt, final in pairs:
            rate = 100 * prompt.errors / prompt.words
            if rate == 0 if row["high"] == 0 else row["low"] < rate <= (row["high"] or 1e9):
                inside.append((prompt, final))
        words = sum(p.words for p, _ in inside)
        assert (row["mixtures"], row["words"]) == (len(inside), words)
        assert row["prompt_rate"] == pytest.approx(100 * sum(p.errors for p, _ in inside) / words, abs=0.005)
        assert row["final_rate"] == pytest.approx(100 * sum(f.errors for _, f in inside) / words, abs=0.005)


def test_control_is_the_same_analysis_of_another_text(root, capsys):
    record = run(root, "--control", "sot")
    control = record["control"]
    assert control["system"] == "sot" and control["final"] != record["final"]
    assert "control sot" in capsys.readouterr().out
    (root / "decode/sop" / SET / "text").write_text((root / "decode/sot" / SET / "text").read_text())
    same = run(root, "--control", "sot")
    for key in ("final", "correlation", "by_prompt_quality", "words"):
        assert same[key] == same["control"][key] == control[key]


def test_folder_without_word_times(root, capsys):
    """Folders of older decodings: no split by overlap, and it is said."""
    with_times = run(root)
    (root / "decode/sop" / SET / "prompt.ctm").unlink()
    record = run(root)
    assert record["word_times"] is None and record["words"]["overlapped"] is record["words"]["single"] is None
    assert record["words"]["all"] == with_times["words"]["all"] and record["onset_error"] == with_times["onset_error"]
    assert (
        f"No word times (prompt.ctm), so no split by overlap; decode again with --overwrite for them: sop, {SET}."
        in (capsys.readouterr().out)
    )
    (root / "decode/sop" / SET / "onsets").unlink()
    assert run(root)["onset_error"] is None


def test_perfect_prompts(root):
    """A prompt from the reference: nothing to repair, no correlation."""
    folder = root / "decode/sop" / SET
    (folder / "prompt.ctm").unlink()
    (folder / "prompt").write_text((root / "data" / SET / "text").read_text().lower())
    (folder / "onsets").unlink()
    record = run(root)
    assert record["prompt"]["rate"] == 0 and record["correlation"]["pearson"]["value"] is None
    assert record["words"]["all"]["repair_rate"] is None and len(record["by_prompt_quality"]) == 1
    assert "–" in str(prompt_document([record]))


def test_missing_hypotheses_are_empty(root):
    folder = root / "decode/sop" / SET
    for name in ("prompt", "text", "onsets", "prompt.ctm"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(line for line in lines if not line.startswith("mix00")))
    record = run(root)
    assert record["per_mixture"]["mix00"] == {"prompt": [0, 12, 0, 12], "final": [0, 12, 0, 12]}
    assert record["onset_error"]["missed"] == 2


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("prompt", None, "was decoded without a prompt (no file `prompt`)"),
        ("text", None, "text: no such file"),
        ("prompt", "nobody a b\n", "prompt: no mixture has both a reference and a hypothesis"),
        ("prompt.ctm", "mix00 1 0.0 0.1 other 1.0\n", "prompt.ctm: mix00 has other words than prompt; decode again"),
        ("prompt.ctm", "", "prompt.ctm: mix00 has other words than prompt"),
        ("onsets", "mix00 0.0 1.0 2.0\n", "onsets: mix00 has not one number per talker of prompt; decode again"),
        ("onsets", "mix00 zero one\n", "onsets: mix00 has not one number per talker"),
        ("onsets", "mix00 0.0 nan\n", "onsets: mix00 has not one number per talker"),
    ],
)
def test_mistakes_are_one_line(root, file, change, message):
    path = root / "decode/sop" / SET / file
    path.unlink() if change is None else path.write_text(change)
    with pytest.raises(UserError) as error:
        run(root)
    assert message in str(error.value) and r"\n" not in str(error.value)


def test_other_mistakes(root):
    with pytest.raises(UserError, match="has no hypotheses"):
        analyse.main(["--data", str(root / "data"), str(root / "decode/none" / SET)])
    with pytest.raises(UserError, match=f"none/{SET}/text: no such file"):
        run(root, "--control", "none")
    with pytest.raises(UserError, match="run `espnet2-sop analyse` first"):
        read_record(root / "prompt_quality.json")
    manifest = root / "data" / SET / "mixtures.jsonl"
    manifest.write_text(manifest.read_text().replace("W1", "W2"))
    with pytest.raises(UserError, match="has other words than text; run `espnet2-sop validate"):
        run(root)
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1]).replace("W2", "W1"))
    with pytest.raises(UserError, match="mixtures.jsonl: "):
        run(root)
