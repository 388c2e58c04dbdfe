"""Talkers as a model gives them."""

import pytest


@pytest.fixture
def talkers():
    """Two overlapping talkers of a segment: one with a prompt, whose words are hostile to markup, one without."""
    from espnet2_sop.decoding.talker import Talker
    from espnet2_sop.text.ctm import TimedWord

    heard = (TimedWord(1, 10.4, 0.2, "red", 0.9), TimedWord(1, 10.8, 0.2, "fox", 0.5), TimedWord(1, 12.0, 0.3, "go", 1))
    return [
        Talker("red box & <b>\n--> go", ("x",), 10.4, 0.9, "red fox go", heard, 1, 10.0, 14.0),
        Talker("two words", ("y",), None, 0.5, "", (), 2, 10.0, 14.0),
    ]
