import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet2_sop.model.ctc.serialized import SerializedCTC, TalkerTokens, collapse, frames_needed, timed_words
from espnet2_sop.text.llm_tokenizer import LLMTokenizer
from espnet2_sop.text.vocabulary import SentencePieceVocabulary


@pytest.fixture(scope="session")
def pieces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pieces")
    SentencePieceVocabulary.train(["red blue box it's one two three"] * 20, 40, folder)
    return SentencePieceVocabulary(folder / "spm.model")


def brute_force_nll(log_probs, target, blank):
    """Sums the probability of every path that collapses to the target."""
    total = 0.0
    for path in itertools.product(range(log_probs.size(1)), repeat=log_probs.size(0)):
        if [k for k, _ in itertools.groupby(path) if k != blank] == target:
            total += math.exp(sum(log_probs[t, k].item() for t, k in enumerate(path)))
    return -math.log(total) if total else None


@pytest.mark.parametrize("target", [[0], [0, 1], [1, 1], [], [0, 0, 1]])
def test_loss_equals_all_paths(target):
    """The empty target (no talker in the slot) and doubled tokens included."""
    torch.manual_seed(len(target))
    ctc = SerializedCTC(4, vocab_size=2, num_talkers=1)
    log_probs = ctc([torch.randn(1, 4, 4)])
    ids = torch.tensor([target + [0] * (3 - len(target))])
    loss, impossible = ctc.loss(log_probs, torch.tensor([4]), [(ids, torch.tensor([len(target)]))])
    assert loss.item() == pytest.approx(brute_force_nll(log_probs[0][0], target, ctc.blank), rel=1e-5)
    assert not impossible.any()


def test_loss_is_bound_to_the_slot_and_ignores_padding():
    """No permutation: swapping the talkers' targets changes the loss; a row's loss is that of the row alone."""
    torch.manual_seed(0)
    ctc = SerializedCTC(4, vocab_size=5, num_talkers=2)
    streams = [torch.randn(2, 8, 4) for _ in range(2)]
    lengths = torch.tensor([8, 5])
    first = (torch.tensor([[0, 1, 2], [3, 0, 0]]), torch.tensor([3, 1]))
    second = (torch.tensor([[4, 4], [0, 0]]), torch.tensor([2, 0]))
    loss, _ = ctc.loss(ctc(streams), lengths, [first, second])
    swapped, _ = ctc.loss(ctc(streams), lengths, [second, first])
    assert not torch.allclose(loss, swapped)
    alone = ctc([s[1:, :5] for s in streams])
    single, _ = ctc.loss(alone, lengths[1:], [(ids[1:], n[1:]) for ids, n in (first, second)])
    torch.testing.assert_close(loss[1:], single)


def test_target_that_cannot_fit_is_counted_and_trains_nothing():
    ctc = SerializedCTC(4, vocab_size=5, num_talkers=1)
    stream = torch.randn(2, 3, 4, requires_grad=True)
    targets = (torch.tensor([[1, 1, 2], [1, 2, 3]]), torch.tensor([3, 3]))  # the first needs 4 frames
    loss, impossible = ctc.loss(ctc([stream]), torch.tensor([3, 3]), [targets])
    assert impossible[:, 0].tolist() == [True, False]
    loss.sum().backward()
    assert loss[0, 0] == 0 and not stream.grad[0].any() and stream.grad[1].any()


@given(st.lists(st.integers(0, 3), max_size=12))
def test_collapse_against_groupby(path):
    """A doubled token that is parted by a blank stays double; the reference is itertools."""
    blank = 3
    expected = [k for k, _ in itertools.groupby(path) if k != blank]
    out = collapse(path, [0.5] * len(path), blank)
    assert out.tokens == expected
    assert len(out.frames) == len(out.confidences) == len(expected)
    assert all(path[f] == t and (f == 0 or path[f - 1] != t) for f, t in zip(out.frames, out.tokens, strict=True))


def test_confidence_is_the_mean_over_the_run():
    out = collapse([0, 0, 2, 1], [0.2, 0.4, 0.9, 0.7], blank=2)
    assert out.confidences == pytest.approx([0.3, 0.7])


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(0, 2), max_size=4), min_size=1, max_size=4))
def test_frames_needed_against_search(targets):
    """The fewest frames is the shortest path that collapses to the target."""
    width = max(map(len, targets)) or 1
    ids = torch.tensor([t + [0] * (width - len(t)) for t in targets])
    needed = frames_needed(ids, torch.tensor([len(t) for t in targets])).tolist()
    for target, n in zip(targets, needed, strict=True):
        path = [k for a, b in itertools.pairwise([*target, None]) for k in ([a, 9] if a == b else [a])]
        assert n == len(path)


def test_greedy_reads_only_valid_frames():
    """The last valid frame counts and the padding does not; an all-blank slot gives nothing."""
    ctc = SerializedCTC(4, vocab_size=3, num_talkers=2)
    ids = torch.tensor([[0, 3, 0, 1, 2], [2, 2, 1, 1, 1]])
    one = torch.nn.functional.one_hot(ids, 4).float().mul(9).log_softmax(-1)
    blank = torch.nn.functional.one_hot(torch.full((2, 5), 3), 4).float().mul(9).log_softmax(-1)
    rows = ctc.greedy([one, blank], torch.tensor([5, 3]))
    assert [row[0].tokens for row in rows] == [[0, 0, 1, 2], [2, 1]]
    assert [row[1].tokens for row in rows] == [[], []]
    assert rows[0][0].frames == [0, 2, 3, 4]


def test_words_and_their_confidences():
    """A word is as sure as its least sure token; what comes before the first word start is a word, too."""
    slot = TalkerTokens([3, 10, 4, 5, 11], [0, 1, 2, 3, 4], [0.9, 0.8, 0.3, 0.6, 1.0])
    words = slot.words(lambda token: token >= 10)
    assert [(w.tokens, w.frames, w.confidence) for w in words] == [
        ([3], [0], 0.9),
        ([10, 4, 5], [1, 2, 3], 0.3),
        ([11], [4], 1.0),
    ]
    assert TalkerTokens([], [], []).words(lambda token: True) == []


class Spelled:
    """A vocabulary of pieces, `_` in front of a word, as far as `timed_words` needs one."""

    def __init__(self, *pieces):
        self.pieces = pieces

    def decode(self, ids):
        return "".join(self.pieces[i] for i in ids).replace("_", " ").strip()

    def starts_word(self, token):
        return self.pieces[token].startswith("_")


def test_times_of_words_from_known_peaks():
    """Peaks at frames that were chosen: words of one and of several tokens, a doubled word, an empty slot."""
    vocabulary = Spelled("_red", "_b", "ox", "_")
    ctc = SerializedCTC(4, vocab_size=4, num_talkers=3)
    #            0  1  2  3  4  5  6  7  8  9
    paths = [[4, 0, 0, 4, 0, 4, 1, 4, 4, 2], [4] * 10, [3, 1, 2, 4, 4, 4, 4, 4, 4, 0]]
    log_probs = [torch.nn.functional.one_hot(torch.tensor([p]), 5).float().mul(9).log_softmax(-1) for p in paths]
    (slots,) = ctc.greedy(log_probs, torch.tensor([10]))
    words = timed_words(slots, vocabulary, 0.08)
    assert [w[:4] for w in words] == [
        (1, 0.08, 0.08, "red"),
        (1, 0.32, 0.08, "red"),
        (1, 0.48, 0.32, "box"),
        (3, 0.08, 0.16, "box"),  # the lone word start in front of it spells nothing
        (3, 0.72, 0.08, "red"),
    ]
    assert all(w.confidence == 1.0 for w in words)


@settings(max_examples=300)
@given(st.data())
@pytest.mark.parametrize("kind", ["llm", "sentencepiece"])
def test_timed_words_are_those_of_the_prompt(tiny_llm, pieces, kind, data):
    """Word by word or all at once, any tokens spell the same words, also half characters and lone blanks."""
    vocabulary = LLMTokenizer(tiny_llm) if kind == "llm" else pieces
    tokens = data.draw(st.lists(st.integers(0, vocabulary.vocab_size - 1), max_size=12))
    slot = TalkerTokens(tokens, list(range(len(tokens))), [0.5] * len(tokens))
    words = timed_words([slot], vocabulary, 0.1)
    assert [w.word for w in words] == vocabulary.decode(tokens).split()
    assert [w.start for w in words] == sorted(w.start for w in words)
