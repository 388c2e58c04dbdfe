"""If these fail, a prompt read from disk is not the one that the heads wrote."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet2_sop.model.ctc.serialized import TalkerTokens
from espnet2_sop.model.ctc.table import from_table, to_table

confidence = st.floats(0, 1, width=32)
tokens = st.lists(st.tuples(st.integers(0, 2**18), st.integers(0, 5000), confidence), max_size=9)


@given(st.lists(tokens, min_size=1, max_size=4))
def test_slots_come_back(rows):
    """Silent slots included, also those at the end."""
    slots = [TalkerTokens(*(list(column) for column in zip(*row, strict=True))) if row else TalkerTokens([], [], [])
             for row in rows]  # fmt: skip
    table = to_table(slots)
    assert table.shape == (sum(map(len, rows)), 4) and table.dtype == torch.float32
    assert from_table(table, len(slots)) == slots
