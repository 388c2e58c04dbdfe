"""Choice of examples. If these fail, a report shows the same mixture twice or none of a kind."""

from espnet2_sop.report.examples import choose, main_pair
from espnet2_sop.report.experiment import read_experiment


def test_examples_are_distinct_and_of_several_kinds(experiment):
    examples = choose(read_experiment(experiment), 6)
    assert len(examples) == 6 and len({example.id for example in examples}) == 6
    reasons = [example.reason for example in examples]
    assert "sop has fewer errors than sot_continued" in reasons
    assert "median of sop with 1 talker" in reasons and "median of sop with 2 talkers" in reasons
    assert "highest error rate of sop" in reasons
    for example in examples:
        assert example.test_set == ("test_1mix_clean" if example.id.startswith("one") else "test_2mix_noisy")


def test_number_of_examples(experiment):
    whole = read_experiment(experiment)
    assert choose(whole, 0) == []
    assert len(choose(whole, 3)) == 3
    assert len(choose(whole, 1000)) == 36  # every mixture once, then no more


def test_the_largest_gain_and_loss_come_first(recipe, references, add_result):
    texts = references["test_2mix_noisy"]
    add_result(recipe, "sot_continued", "test_2mix_noisy", texts | {"mix5": "", "mix6": "X"})
    add_result(recipe, "sop", "test_2mix_noisy", texts | {"mix7": "", "mix8": "WORD8"})
    gain, loss, typical, worst = choose(read_experiment(recipe / "exp"), 4)
    assert (gain.id, loss.id, typical.id) == ("mix5", "mix7", "mix0")
    assert (worst.id, worst.reason) == ("mix8", "highest error rate of sop")  # but for mix7, which is there already


def test_main_system_and_rival(recipe, references, add_result):
    texts = references["test_2mix_noisy"]
    add_result(recipe, "ours", "test_2mix_noisy", texts)
    assert main_pair(read_experiment(recipe / "exp")) == ("ours", None)
    add_result(recipe, "theirs", "test_2mix_noisy", texts)
    assert main_pair(read_experiment(recipe / "exp")) == ("theirs", "ours")
    add_result(recipe, "sop", "test_2mix_noisy", texts)
    add_result(recipe, "sot_continued", "test_1mix_clean", references["test_1mix_clean"])  # no set in common
    add_result(recipe, "ctc", "test_2mix_noisy", texts)
    assert main_pair(read_experiment(recipe / "exp")) == ("sop", "ctc")


def test_one_system_has_examples_too(recipe, references, add_result):
    add_result(recipe, "ours", "test_1mix_clean", references["test_1mix_clean"])
    assert [example.reason for example in choose(read_experiment(recipe / "exp"), 1)] == [
        "median of ours with 1 talker"
    ]
