"""If these fail, decoding reads keys of other positions or loses them."""

import torch

from espnet2_sop.model.llm.key_value_cache import SPARE, RowCache


def test_rows_write_to_columns_of_their_own_however_much_a_pass_reads():
    cache = RowCache(1)
    (layer,), width = cache.layers, 3 * SPARE
    prompts, new = torch.randn(2, 1, 5, 4), torch.randn(2, 1, width, 4)
    cache.place(torch.arange(5).expand(2, -1), 0)
    layer.update(prompts, -prompts)
    cache.place(torch.tensor([[5], [3]]) + torch.arange(width), 5)
    keys, values = layer.update(new, -new)
    assert keys.shape == (2, 1, 5 + width, 4) and layer.get_seq_length() == 5
    for row, start in ((0, 5), (1, 3)):
        assert torch.equal(keys[row, :, :start], prompts[row, :, :start])
        assert torch.equal(keys[row, :, start : start + width], new[row])
    assert torch.equal(values[:, :, :3], -prompts[:, :, :3]) and torch.equal(values[1, :, 3 : 3 + width], -new[1])
