"""Decoding statistics: passes of the LLM, and tokens of drafts that were verified."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodingStatistics:
    """Counts of one output or, added up, of several.

    Attributes:
        passes: Forward passes of the LLM, including the one over the prompt.
        tokens: Tokens written, with the end of sequence.
        verified: Tokens of drafts that were verified in these passes.
        accepted: Verified tokens that were the model's own choice.
    """

    passes: int = 0
    tokens: int = 0
    verified: int = 0
    accepted: int = 0

    def __add__(self, other: "DecodingStatistics") -> "DecodingStatistics":
        return DecodingStatistics(
            self.passes + other.passes,
            self.tokens + other.tokens,
            self.verified + other.verified,
            self.accepted + other.accepted,
        )
