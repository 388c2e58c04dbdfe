"""Drafts of an output: which of their tokens come next, and how many of them to verify in a pass of the LLM."""

from dataclasses import dataclass

START = 0.8  # agreement expected before anything is known: about that of trained heads
FORGET = 0.4  # weight of the newest token in the running agreement


class Draft:
    """Follows the output of one mixture along a draft, which may be wrong, too short or too long.

    The place in the draft is behind its prefix with the smallest edit distance to the output so far. A word that only
    one of the two has thus costs one disagreement; the rest of the draft stays of use.

    Args:
        tokens: Ids that the output is expected to have, without end of sequence; may be empty.
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
        """Moves on by the next token of the output, whether or not it was verified with the draft."""
        if not self.tokens:
            return
        self._extend(token)
        expected = self.ahead(1)
        if expected:
            self.agreement += FORGET * ((expected[0] == token) - self.agreement)
        self.position = self.position + 1 if expected == [token] else self._nearest(token)

    def refine(self, verified: list[int], chosen: list[int], first: int) -> None:
        """Corrects the next tokens of the draft by choices of the model behind a token that it did not agree with.

        These choices are guesses, since the model has read a wrong token. One is taken if the model agreed with the
        token just before it; right behind a wrong token they are worse than the draft.

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
    """Fixed cost of a forward pass of the LLM, in units of the time that one more token takes.

    Attributes:
        several: Of a pass that reads several tokens of each row.
        single: Of a pass that reads one token of each row.
    """

    several: float
    single: float


def lookahead(drafts: list[Draft], limits: list[int], cost: PassCost) -> int:
    """Chooses how many tokens of the drafts to verify in the next pass, for the least expected time of the batch.

    A row accepts n tokens with the probability agreement^n and goes on to the end of its draft. All rows of a batch
    read equally many tokens in a pass, and the slowest row determines the number of passes.

    Args:
        drafts: Drafts of the B rows.
        limits: (B,) most tokens that each row can use.
        cost: Fixed costs of a pass.

    Returns:
        Number of tokens, from 0.
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
