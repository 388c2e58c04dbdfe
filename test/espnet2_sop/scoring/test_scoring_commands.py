"""From texts to RESULTS.md with the commands. If these fail, a recipe's last stages do."""

import csv
import json

import pytest

from espnet2_sop.bin import cli, compare, score, table
from espnet2_sop.io.files import write_kaldi
from espnet2_sop.text.serialized import NORMALIZATION

REF = {f"mix{i}": f"WORD{i} TWO THREE <sc> FOUR FIVE{i}" for i in range(8)}
SYSTEMS = {
    "ctc": {key: text.replace("TWO ", "").lower() for key, text in REF.items()},
    "sot": {key: text.replace("FOUR", "FOR") if key in ("mix1", "mix2") else text for key, text in REF.items()},
    "sot_continued": {key: text.replace("FOUR", "FOR") if key == "mix1" else text for key, text in REF.items()},
    "sop": {key: " <sc> ".join(text.split(" <sc> ")[::-1]) if key == "mix3" else text for key, text in REF.items()},
}


@pytest.fixture
def root(tmp_path):
    for condition in ("clean", "noisy"):
        data = tmp_path / "data" / f"test_2mix_{condition}"
        write_kaldi(data / "text", REF.items())
        (data / "info.json").write_text(json.dumps({"num_talkers": 2, "condition": condition}))
        for system, hyp in SYSTEMS.items():
            write_kaldi(hyp_dir(tmp_path, system, condition) / "text", hyp.items())
    return tmp_path


def hyp_dir(root, system="sop", condition="clean"):
    return root / "exp" / "run" / "decode" / system / f"test_2mix_{condition}"


def score_all(root):
    folders = [str(hyp_dir(root, system, condition)) for system in SYSTEMS for condition in ("clean", "noisy")]
    score.main(["--data", str(root / "data"), *folders])


def rewrite(path, change):
    rows = json.loads(path.read_text())
    change(rows)
    path.write_text(json.dumps(rows))


def test_score(root, capsys):
    folder = hyp_dir(root)
    score.main([str(root / "data/test_2mix_clean"), str(folder)])
    record = json.loads((folder / "score.json").read_text())
    assert (record["system"], record["test_set"], record["num_talkers"]) == ("sop", "test_2mix_clean", 2)
    assert record["normalization"] == NORMALIZATION and record["missing"] == []
    assert record["metrics"]["cpwer"]["rate"] == 0 and record["metrics"]["slot_wer"]["errors"] == 6
    assert record["metrics"]["slot_wer"]["rate"] == 15  # 6 of 40 words
    assert record["count_accuracy"] == 100 and record["count_confusion"] == {"2": {"2": 8}}
    assert record["right_order"] == 87.5
    assert list(record["per_mixture"]) == list(REF)
    row = {"talkers": [2, 2], "slots": [[0, 0, 0, 3], [0, 0, 0, 2]], "condition": "clean"}
    assert record["per_mixture"]["mix0"] == row | dict.fromkeys(record["metrics"], [0, 0, 0, 5])
    assert record["breakdown"]["slot"]["2"]["cpwer"]["words"] == 16 and record["left_out"] == {}
    assert (folder / record["hypothesis"]).samefile(folder)
    assert (folder / record["reference"]).samefile(root / "data/test_2mix_clean")
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and "cpWER 0.0 [0.0, 0.0] (S 0, D 0, I 0 of 40 words)" in line


def test_markdown_and_csv_beside_score_json(root):
    folder = hyp_dir(root)
    write_kaldi(root / "data/test_2mix_clean/utt2overlap", [(key, i / 10) for i, key in enumerate(REF)])
    write_kaldi(root / "data/test_2mix_clean/onsets", [(key, f"0.0 {0.3 * i}") for i, key in enumerate(REF)])
    write_kaldi(root / "data/test_2mix_clean/utt2dur", [(key, 2.5) for key in REF])
    score.main([str(root / "data/test_2mix_clean"), str(folder)])
    with open(folder / "score.csv", newline="") as f:
        rows = {row["id"]: row for row in csv.DictReader(f)}
    assert list(rows) == list(REF)
    row = rows["mix3"]
    known = [row[name] for name in ("overlap", "onset_gap", "duration", "condition")]
    assert known == ["0.3", "0.9", "2.5", "clean"]
    assert (row["talkers"], row["slot_wer_substitutions"], row["cpwer_words"]) == ("2", "4", "5")
    text = (folder / "score.md").read_text()
    assert "## By overlap ratio" in text and "| 0.2 - 0.5 " in text and "## By talker slot" in text
    assert "By duration" not in text  # one group only
    record = json.loads((folder / "score.json").read_text())
    assert record["per_mixture"]["mix3"]["onset_gap"] == 0.9
    assert record["breakdown"]["overlap"]["0.5 - 1"]["mixtures"] == 2


def seglst(texts):
    """Serialized texts as SegLST; talker i speaks from second i on."""
    return [
        {"session_id": key, "speaker": f"s{i}", "words": words, "start_time": i, "end_time": i + 2}
        for key, text in texts.items()
        for i, words in enumerate(text.split("<sc>"))
    ]


def stm(texts):
    rows = (
        (s["session_id"], 1, *(s[k] for k in ("speaker", "start_time", "end_time", "words"))) for s in seglst(texts)
    )
    return "".join(" ".join(map(str, row)) + "\n" for row in rows)


def test_all_formats_have_the_same_scores(root, capsys):
    texts = {name: dict(reversed(SYSTEMS[name].items())) for name in ("ctc", "sop")}  # another order of ids is fine
    for name, side in {"ref": REF, **texts}.items():
        write_kaldi(root / name / "text", side.items())
        (root / f"{name}.seglst.json").write_text(json.dumps(seglst(side)))
        (root / f"{name}.stm").write_text(stm(side))
    found = []
    for ending in ("", ".seglst.json", ".stm"):
        score.main([str(root / f"ref{ending}"), str(root / f"sop{ending}"), "--out", str(root / f"out{ending}")])
        record = json.loads((root / f"out{ending}/score.json").read_text())
        assert record["test_set"] == "ref" and record["system"] == (root.name if ending == "" else "sop")
        assert (record["condition"], record["num_talkers"]) == ("unspecified", 2)
        found.append((record["metrics"], record["reference_digest"], record["right_order"]))
        if ending:
            assert record["per_mixture"]["mix0"]["overlap"] == 0.3333 and list(record["breakdown"]) == [
                *("talkers", "overlap", "onset_gap", "duration", "slot")
            ]
    assert found[0] == found[1] == found[2]
    score.main([str(root / "ref.stm"), str(root / "sop.stm")])
    assert (root / "sop_score/score.json").is_file()

    differences = []
    for ending in ("", ".seglst.json", ".stm"):
        capsys.readouterr()
        ref, *systems = (str(root / f"{name}{ending}") for name in ("ref", "ctc", "sop"))
        compare.main([*systems, "--ref", ref, "--metric", "orc_wer"])
        differences.append(capsys.readouterr().out.partition("A - B")[2])
    assert differences[0] == differences[1] == differences[2] and "+20.0 " in differences[0]


def test_mixed_sets_are_broken_down(root):
    texts = {"a": "one", "b": "two three <sc> four", "c": "five <sc> six <sc> seven", "d": "eight"}
    hyp = texts | {"b": "two three", "d": "nine", "c": "five <sc> six <sc> seven <sc> eight"}
    write_kaldi(root / "data/dev/text", texts.items())
    (root / "data/dev/info.json").write_text('{"num_talkers": null, "condition": "both"}')
    lines = [{"id": key, "noise": {"path": "x"} if key in "ab" else None} for key in texts]
    (root / "data/dev/mixtures.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_kaldi(root / "exp/run/decode/sop/dev/text", hyp.items())
    score.main(["--data", str(root / "data"), str(root / "exp/run/decode/sop/dev")])
    record = json.loads((root / "exp/run/decode/sop/dev/score.json").read_text())
    talkers = {name: (g["mixtures"], g["cpwer"]["rate"]) for name, g in record["breakdown"]["talkers"].items()}
    assert talkers == {"1": (2, 50.0), "2": (1, 33.33), "3": (1, 33.33)}
    assert {k: g["cpwer"]["errors"] for k, g in record["breakdown"]["condition"].items()} == {"clean": 2, "noisy": 1}
    assert record["count_confusion"] == {"1": {"1": 2}, "2": {"1": 1}, "3": {"4": 1}}
    table.main([str(root / "exp/run/decode/sop/dev")])
    text = (root / "exp/run/decode/sop/dev/BREAKDOWN.md").read_text()
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "| mixed, both: noisy | 2 | – |" in lines and "| mixed, both: 3 | 1 | – |" in lines  # too few for a rate
    assert "| mixed, both: surplus | – | 1 in 1 |" in lines


def test_metrics_that_would_take_too_long_are_left_out_and_said(root, capsys):
    (root / "many.stm").write_text("".join(f"a 1 s{i} {i} {i + 2} w{i}\n" for i in range(12)))
    score.main([str(root / "many.stm"), str(root / "many.stm"), "--out", str(root / "out")])
    said = capsys.readouterr()
    assert "ref-permutation WER is left out (a: 12 reference talkers, at most 8 are permuted)" in said.err
    record = json.loads((root / "out/score.json").read_text())
    assert "ref_permutation_wer" not in record["metrics"] and record["metrics"]["cpwer"]["rate"] == 0
    assert "is left out: a: 12 reference talkers" in (root / "out/score.md").read_text()
    table.main([str(root / "out")])
    args = [str(root / "many.stm")] * 2 + ["--ref", str(root / "many.stm"), "--metric", "ref_permutation_wer"]
    assert cli.run("compare", args) == 1
    assert "ref-permutation WER was left out" in capsys.readouterr().err


def test_rates_in_score_json_are_totals_over_totals(root):
    score_all(root)
    for path in root.rglob("score.json"):
        record = json.loads(path.read_text())
        for name, metric in record["metrics"].items():
            rows = [row[name] for row in record["per_mixture"].values()]
            assert metric["errors"] == sum(sum(row[:3]) for row in rows)
            assert metric["words"] == sum(row[3] for row in rows)
            assert metric["rate"] == round(100 * metric["errors"] / metric["words"], 2)


def test_score_table_compare(root, capsys):
    score_all(root)
    capsys.readouterr()
    table.main([str(root / "exp")])
    text = capsys.readouterr().out
    assert text == (root / "exp/RESULTS.md").read_text()
    rows = json.loads((root / "exp/results.json").read_text())
    assert [(row["condition"], row["system"]) for row in rows] == [
        (condition, system) for condition in ("clean", "noisy") for system in ("ctc", "sot", "sot_continued", "sop")
    ]
    ctc = rows[0]
    assert (ctc["cpwer"], ctc["errors"], ctc["deletions"], ctc["words"], ctc["mixtures"]) == (20.0, 8, 8, 40, 8)
    assert ctc["cpwer_interval"] == [20.0, 20.0]  # one error in five words in every mixture
    headings = ["Environment", "Test sets", "cpWER", "order WER (the papers' WER)", "Paired comparisons", "Talkers"]
    places = [text.index(f"## {heading}") for heading in (*headings, "Further metrics", "Counts", "Definitions")]
    assert places == sorted(places)
    order = [text.index(f"| {system} ", places[2]) for system in ("ctc", "sot", "sot_continued", "sop")]
    assert order == sorted(order) and order[-1] < places[3]
    assert "|   2 talkers, clean |   2 talkers, noisy |" in text and "- versions: python 3." in text
    assert "**0.0 [0.0, 0.0]**" in text and "-20.0 [-20.0, -20.0] *" in text
    assert "6 comparisons; neither intervals nor stars are corrected" in text and "another seed of training" in text
    assert NORMALIZATION in text and "- cpWER: best assignment" in text

    compare.main([str(hyp_dir(root, "ctc")), str(hyp_dir(root, "sot")), "--top", "1"])
    text = capsys.readouterr().out
    assert "A - B  +15.0 [" in text and "p = 0.00" in text
    assert text.count("  ref ") == 1 and "mix0: 1 errors in A, 0 in B" in text
    assert (
        "  ref word0 two three <sc> four five0\n  A   word0 three <sc> four five0\n  B   word0 two three <sc> " in text
    )
    compare.main([str(hyp_dir(root, "sop")), str(hyp_dir(root, "sot")), "--metric", "slot_wer"])
    assert "mix3: 6 errors in A, 0 in B" in capsys.readouterr().out


def test_table_with_gaps_other_systems_and_sets(root, capsys):
    write_kaldi(root / "data/dev/text", REF.items())
    (root / "data/dev/info.json").write_text('{"num_talkers": null, "condition": "both"}')
    write_kaldi(root / "more/decode/ours/dev/text", REF.items())
    write_kaldi(root / "more/decode/ours/test_2mix_clean/text", REF.items())
    folders = [hyp_dir(root, "ctc"), root / "more/decode/ours/dev", root / "more/decode/ours/test_2mix_clean"]
    score.main(["--data", str(root / "data"), *map(str, folders)])
    table.main([str(root / "exp"), str(root / "more"), "--out", str(root / "report")])
    text = (root / "report/RESULTS.md").read_text()
    assert text.index("| ctc ") < text.index("| ours ") < text.index("## order WER")
    assert "mixed, both" in text and "Paired" not in text


def test_variants_stand_by_their_base_and_are_compared_with_it(root):
    """An ablation is a name: no list of systems has to know it."""
    for system in ("sop_small", "joint", "espnet_sot", "espnet_sot_wavlm"):
        write_kaldi(hyp_dir(root, system) / "text", SYSTEMS["ctc"].items())
        score.main(["--data", str(root / "data"), str(hyp_dir(root, system))])
    score_all(root)
    table.main([str(root / "exp")])
    text = (root / "exp/RESULTS.md").read_text()
    names = ["espnet_sot", "espnet_sot_wavlm", "ctc", "sot", "sot_continued", "joint", "sop", "sop_small"]
    order = [text.index(f"\n| {name} ") for name in names]
    assert order == sorted(order)
    pairs = ["sop - sot_continued", "sop - sot", "sop - ctc", "sop - joint", "sop - espnet_sot", "sop_small - sop"]
    order = [text.index(f"\n| {pair} ") for pair in pairs]
    assert order == sorted(order)
    assert "- espnet_sot_wavlm: the same" in text and "- sop_small" not in text


def test_sets_of_the_same_size_keep_their_columns(root):
    write_kaldi(root / "data/dev_2mix_clean/text", REF.items())
    (root / "data/dev_2mix_clean/info.json").write_text('{"num_talkers": 2, "condition": "clean"}')
    dev = hyp_dir(root).with_name("dev_2mix_clean")
    write_kaldi(dev / "text", REF.items())
    score.main(["--data", str(root / "data"), str(dev), str(hyp_dir(root))])
    table.main([str(root / "exp")])
    text = (root / "exp/RESULTS.md").read_text()
    assert "2 talkers, clean, dev_2mix_clean | 2 talkers, clean, test_2mix_clean" in text


def test_missing_hypothesis_is_named_and_counted(root, capsys):
    folder = hyp_dir(root)
    write_kaldi(folder / "text", [(key, text) for key, text in REF.items() if key != "mix5"])
    args = ["--data", str(root / "data"), str(folder)]
    assert cli.run("score", ["--strict", *args]) == 1
    assert "1 mixture (mix5) without hypothesis" in capsys.readouterr().err
    assert not (folder / "score.json").exists()
    assert cli.run("score", args) == 0
    assert "warning" in (err := capsys.readouterr().err) and "mix5" in err
    record = json.loads((folder / "score.json").read_text())
    assert record["missing"] == ["mix5"] and record["metrics"]["cpwer"]["deletions"] == 5
    assert record["metrics"]["cpwer"]["rate"] == 12.5 and record["count_confusion"] == {"2": {"0": 1, "2": 7}}


BAD_TEXT = {
    "mix0 A\nmixX B\n": "1 mixture (mixX) not in the reference",
    "mix0 A\nmix1 B\nmix0 C\n": "line 3: id 'mix0' came before",
    "mixX A\n": "no mixture has both",
    "": "no mixture has both",
}


@pytest.mark.parametrize("text", BAD_TEXT)
def test_bad_hypotheses(root, capsys, text):
    (hyp_dir(root) / "text").write_text(text)
    assert cli.run("score", ["--data", str(root / "data"), str(hyp_dir(root))]) == 1
    error = capsys.readouterr().err
    assert BAD_TEXT[text] in error and str(hyp_dir(root) / "text") in error and error.count("\n") == 1


def test_missing_folders_and_files(root, capsys):
    def error(*argv):
        assert cli.run(argv[0], [str(arg) for arg in argv[1:]]) == 1
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        return message

    data = root / "data"
    assert "no such file" in error("score", "--data", data, root / "exp/none/test_2mix_clean")
    assert "no such file" in error("score", "--data", root / "none", hyp_dir(root))
    assert "is the reference; give a hypothesis, too" in error("score", hyp_dir(root))
    assert "2 hypotheses would be written" in error("score", data, hyp_dir(root), hyp_dir(root), "--out", root)
    assert "no score.json below" in error("table", root / "none")
    assert "an entry is of one EXPDIR" in error("table", root, root, "--append", root / "R.md")
    (root / "x.stm").write_text("a 1 b 0.5\n")
    assert "x.stm, line 1: expected" in error("score", root / "x.stm", hyp_dir(root))
    assert "run `espnet2-sop score` first" in error("compare", hyp_dir(root), hyp_dir(root, "sot"))
    (data / "test_2mix_clean/info.json").write_text('{"num_talkers": 2}')
    (data / "test_2mix_noisy/info.json").unlink()
    (data / "test_2mix_noisy/mixtures.jsonl").touch()
    assert "info.json: no such file" in error("score", "--data", data, hyp_dir(root, condition="noisy"))
    assert "info.json: no condition" in error("score", "--data", data, hyp_dir(root))
    (data / "test_2mix_clean/info.json").write_text('{"num_talkers": 2, "condition": null}')
    assert "condition is None; name it, such as clean or noisy" in error("score", "--data", data, hyp_dir(root))
    (data / "test_2mix_clean/info.json").write_text("{")
    assert "broken JSON" in error("score", "--data", data, hyp_dir(root))


def test_results_that_do_not_belong_together(root, capsys):
    def error(*argv):
        assert cli.run(argv[0], [str(arg) for arg in argv[1:]]) == 1
        return capsys.readouterr().err

    score_all(root)
    sop, sot = hyp_dir(root), hyp_dir(root, "sot")
    assert "different test sets" in error("compare", sop, hyp_dir(root, "sot", "noisy"))
    assert "no metric 'wer'; one of: cpwer, order_wer, " in error("compare", sop, sot, "--metric", "wer")
    assert "--top -1" in error("compare", sop, sot, "--top", "-1")
    rewrite(sot / "score.json", lambda record: record["per_mixture"].pop("mix0"))
    assert "different references" in error("compare", sop, sot)
    rewrite(sot / "score.json", lambda record: record.update(normalization="none"))
    assert "different normalisations" in error("compare", sop, sot)
    assert "different text normalisations" in error("table", root / "exp")
    rewrite(sot / "score.json", lambda record: record["metrics"].pop("slot_wer"))
    assert "no slot_wer; run `espnet2-sop score` again" in error("table", root / "exp")
    score.main(["--data", str(root / "data"), "--system", "sop", str(sot)])
    assert "same system and test set" in error("table", root / "exp")


def test_a_set_without_words_has_no_rate(root):
    (root / "data/test_2mix_clean/text").write_text("mix0\n")
    for system in ("sop", "sot"):
        (hyp_dir(root, system) / "text").write_text("mix0 A\n")
        score.main(["--data", str(root / "data"), str(hyp_dir(root, system))])
    table.main([str(root / "exp")])
    assert json.loads((root / "exp/results.json").read_text())[0]["cpwer"] is None


def test_moved_experiments_still_find_their_references(root, capsys):
    score_all(root)
    moved = root.rename(root.with_name(root.name + "_moved"))
    compare.main([str(hyp_dir(moved, "sop")), str(hyp_dir(moved, "sot"))])
    assert "ref word2 two three <sc> four five2" in capsys.readouterr().out
