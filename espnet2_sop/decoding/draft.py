"""A draft of the output: which of its tokens come next, and how many of them are worth verifying."""

from dataclasses import dataclass

START = 0.8  # agreement expected before anything is known: about that of trained heads
FORGET = 0.4  # weight of the newest token in the running agreement


class Draft:
    """Follows the output of one mixture along a draft that may be wrong, too short or too long.

    The next token of the draft is the one behind the prefix of the draft with the smallest edit distance to the
    output so far, so that words which one of the two lacks cost one disagreement and not all the rest.

    Args:
        tokens: What the output is expected to be, without end of sequence; may be empty.
    """

    def __init__(self, tokens: list[int]):
        self.tokens = list(tokens)
        self.position = 0
        self.agreement = START
        self._costs = list(range(len(self.tokens) + 1))  # edit distance of the output to every prefix

    def ahead(self, number: int) -> list[int]:
        """The next tokens of the draft, at most `number`."""
        return self.tokens[self.position : self.position + number]

    def follow(self, token: int) -> None:
        """Takes note of the next token of the output, whether or not it was verified with the draft."""
        if not self.tokens:
            return
        self._extend(token)
        expected = self.ahead(1)
        if expected:
            self.agreement += FORGET * ((expected[0] == token) - self.agreement)
        self.position = self.position + 1 if expected == [token] else self._nearest(token)

    def refine(self, verified: list[int], chosen: list[int], first: int) -> None:
        """Corrects what is ahead by choices that the model made behind a token it did not agree with.

        They are guesses, since the model read a wrong token before. They are taken where it agreed with the token just
        before, and so has found its way back; right behind a wrong one they are worse than the draft.

        Args:
            verified: The next tokens of the draft.
            chosen: The model's choice for each of them; may be shorter.
            first: Index of the first one that may be corrected, behind the first disagreement.
        """
        for place in range(first, min(len(verified), len(chosen))):
            if chosen[place - 1] == verified[place - 1]:
                self.tokens[self.position + place] = chosen[place]

    def _extend(self, token: int) -> None:
        """Adds a token to the output: one more row of the Levenshtein matrix."""
        left = self._costs[0] + 1
        costs = [left]
        for own, diagonal, above in zip(self.tokens, self._costs, self._costs[1:], strict=False):
            left = diagonal if own == token else 1 + min(diagonal, above, left)
            costs.append(left)
        self._costs = costs

    def _nearest(self, token: int) -> int:
        """Length of the prefix that is nearest to the output, if possible one that ends like it, else the longest."""
        lowest = min(self._costs)
        nearest = [n for n, cost in enumerate(self._costs) if cost == lowest]
        alike = [n for n in nearest if n and self.tokens[n - 1] == token]
        return (alike or nearest)[-1]


@dataclass(frozen=True)
class PassCost:
    """What a forward pass of the LLM costs beside its tokens, in the time that one more token takes.

    Attributes:
        several: Of a pass that reads several tokens of each row.
        single: Of a pass that reads one token of each row.
    """

    several: float
    single: float


def lookahead(drafts: list[Draft], limits: list[int], cost: PassCost) -> int:
    """How many tokens of the drafts to verify in the next pass, so that all outputs are soon complete.

    A row is expected to accept n tokens with the probability agreement^n, and to go on to the end of its draft. All
    rows of a batch read as many tokens in a pass, and there are as many passes as the slowest row needs.

    Args:
        drafts: Of the rows of the batch.
        limits: Most tokens that each row can use.
        cost: Of passes.
    """
    rows = range(len(drafts))
    chances, written = [1.0] * len(drafts), [1.0] * len(drafts)
    best, chosen = cost.single * (max(limits) + 1) + sum(limits) + len(drafts), 0
    last = float("inf")
    for number in range(1, max(limits) + 1):
        for i in rows:
            chances[i] *= drafts[i].agreement if number <= limits[i] else 0.0
            written[i] += chances[i]
        passes = [(limits[i] + 1) / written[i] for i in rows]
        total = cost.several * max(passes) + (number + 1) * sum(passes)
        if total >= last:
            break
        last = total
        if total < best:
            best, chosen = total, number
    return chosen
