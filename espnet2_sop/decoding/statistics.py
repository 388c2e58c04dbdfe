"""What decoding took."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodingStatistics:
    """What it took to write one output, or several.

    Attributes:
        passes: Forward passes of the LLM, that over the prompt included.
        tokens: Tokens written, with the end of sequence.
        verified: Tokens of drafts that were verified in these passes.
        accepted: Those of them that were the model's own choice.
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
