"""If these fail, the rates of parts of a set are not those of their mixtures."""

import random

import pytest

from espnet2_sop.scoring.breakdown import OVERLAP, bin_of, bins, break_down, group_rank, summary
from espnet2_sop.scoring.metrics import METRICS
from espnet2_sop.scoring.mixture_metadata import MixtureMetadata
from espnet2_sop.scoring.rates import percent
from espnet2_sop.scoring.score import score_set

RNG = random.Random(1)


def side():
    return {f"m{i}": " <sc> ".join(" ".join(RNG.choices("abcd", k=RNG.randint(1, 6))) for _ in range(1 + i % 3))
            for i in range(60)}  # fmt: skip


REF, HYP = side(), side()
METADATA = {
    key: MixtureMetadata(RNG.random(), RNG.uniform(0, 3), RNG.uniform(1, 25), RNG.choice(["clean", "noisy", None]))
    for key in REF
}


def test_bins():
    assert [bin_of(v, OVERLAP) for v in (0.0, 0.2, 0.2001, 0.5, 1.0, 1.1)] == [
        *("<= 0.2", "<= 0.2", "0.2 - 0.5", "0.2 - 0.5", "0.5 - 1", "> 1")
    ]
    assert bins((0.5, 2.0)) == ["<= 0.5", "0.5 - 2", "> 2"]
    names = ["> 20", "10 - 15", "<= 3", "3 - 5", "surplus"]
    assert sorted(names, key=group_rank) == ["<= 3", "3 - 5", "10 - 15", "> 20", "surplus"]


def test_groups_add_up_to_the_set():
    score = score_set(REF, HYP)
    whole, parts = break_down(score, METADATA)
    assert list(parts) == ["talkers", "condition", "overlap", "onset_gap", "duration", "slot"]
    for metric in METRICS:
        total = score.total(metric)
        assert (whole[metric]["errors"], whole[metric]["words"]) == (total.errors, total.words)
        assert whole[metric]["rate"] == percent(total.rate)
        assert whole[metric] == summary([count[metric] for count in score.counts.values()])
        for dimension in ("talkers", "duration"):
            groups = parts[dimension].values()
            for count in ("substitutions", "deletions", "insertions", "words"):
                assert sum(group[metric][count] for group in groups) == getattr(total, count)
            assert sum(group["mixtures"] for group in groups) == len(REF)
    for count in ("errors", "words"):
        assert sum(slot["cpwer"][count] for slot in parts["slot"].values()) == getattr(score.total("cpwer"), count)
    assert sum(group["mixtures"] for group in parts["overlap"].values()) == 40  # of two or more talkers
    known = [key for key in REF if METADATA[key].condition]
    assert sum(group["mixtures"] for group in parts["condition"].values()) == len(known)


def test_a_group_has_the_scores_of_its_mixtures_alone():
    _, parts = break_down(score_set(REF, HYP), METADATA)
    ids = [key for key in REF if REF[key].count("<sc>") and 0.2 < METADATA[key].overlap <= 0.5]
    alone = score_set({key: REF[key] for key in ids}, {key: HYP[key] for key in ids})
    group = parts["overlap"]["0.2 - 0.5"]
    assert group["mixtures"] == len(ids)
    assert group["count_accuracy"] == percent(alone.count_accuracy)
    assert group["right_order"] == percent(alone.right_order)
    for metric in METRICS:
        assert group[metric]["rate"] == percent(alone.total(metric).rate)
        low, high = group[metric]["interval"]
        assert low < group[metric]["rate"] < high


def test_slots_follow_the_reference_and_surplus_talkers_are_apart():
    score = score_set({"a": "one two <sc> three", "b": "four"}, {"a": "three <sc> one six <sc> x y", "b": ""})
    _, parts = break_down(score, {"a": MixtureMetadata(), "b": MixtureMetadata()})
    assert list(parts) == ["talkers", "slot"]  # nothing else is known
    slots = {name: (g["mixtures"], g["cpwer"]["errors"], g["cpwer"]["words"]) for name, g in parts["slot"].items()}
    assert slots == {"1": (2, 2, 3), "2": (1, 0, 1), "surplus": (1, 2, 0)}
    assert parts["slot"]["surplus"]["cpwer"]["rate"] is parts["slot"]["surplus"]["cpwer"]["interval"] is None


def test_a_set_without_talkers():
    score = score_set({"a": ""}, {"a": "one"})
    whole, parts = break_down(score, {"a": MixtureMetadata()})
    assert whole["cpwer"]["rate"] is None and whole["cpwer"]["insertions"] == 1
    assert list(parts["talkers"]) == ["0"] and list(parts["slot"]) == ["surplus"]


@pytest.mark.parametrize("metric", METRICS)
def test_one_mixture_has_no_width(metric):
    whole, _ = break_down(score_set({"a": "x y"}, {"a": "x"}), {"a": MixtureMetadata()})
    assert whole[metric]["interval"] == [50.0, 50.0]
