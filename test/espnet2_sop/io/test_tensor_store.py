"""If these fail, a training reads frames of another mixture, or interrupted work is lost or torn."""

import numpy as np
import pytest
import torch

from espnet2_sop.io import tensor_store
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.tensor_store import CachedTensors, CacheWriter


def tensors(count, start=0):
    rng = torch.Generator().manual_seed(start)
    return {f"m{i}": torch.randn(3 + i, 4, generator=rng) for i in range(start, start + count)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_kept_comes_back(tmp_path, dtype):
    """float32 exactly, bfloat16 as if rounded."""
    rows = tensors(5)
    with CacheWriter(tmp_path, dtype) as writer:
        for name, row in rows.items():
            writer.add(name, row)
    kept = CachedTensors(tmp_path)
    assert set(kept) == set(rows) and len(kept) == 5
    for name, row in rows.items():
        assert kept[name].dtype == np.float32
        np.testing.assert_array_equal(kept[name], row.to(dtype).float().numpy())


def test_a_row_without_content_is_kept(tmp_path):
    """Heads that say nothing."""
    with CacheWriter(tmp_path) as writer:
        writer.add("silent", torch.zeros(0, 4))
    assert CachedTensors(tmp_path)["silent"].shape == (0, 4)


def test_interrupted_work_goes_on_in_another_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_store, "SHARD_BYTES", 100)
    rows = tensors(6)
    with pytest.raises(KeyboardInterrupt), CacheWriter(tmp_path) as writer:
        for name in list(rows)[:3]:
            writer.add(name, rows[name])
        raise KeyboardInterrupt
    first = {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    assert len(first) > 1
    with CacheWriter(tmp_path) as writer:
        assert writer.done == {"m0", "m1", "m2"}
        for name in list(rows)[3:]:
            writer.add(name, rows[name])
    kept = CachedTensors(tmp_path)
    assert all(np.array_equal(kept[name], row.numpy()) for name, row in rows.items())
    assert all((tmp_path / name).read_bytes() == content for name, content in first.items())


def test_a_removed_file_is_not_written_over(tmp_path):
    for start in (0, 3):
        with CacheWriter(tmp_path) as writer:
            for name, row in tensors(3, start).items():
                writer.add(name, row)
    (tmp_path / "00000.safetensors").unlink()
    with CacheWriter(tmp_path) as writer:
        writer.add("m0", torch.ones(1, 4))
    assert set(CachedTensors(tmp_path)) == {"m0", "m3", "m4", "m5"}


def test_bad_files_and_missing_mixtures_are_one_line(tmp_path):
    with CacheWriter(tmp_path) as writer:
        writer.add("m0", torch.ones(1, 4))
    with pytest.raises(UserError, match="no m1 in it; remove the folder and run `espnet2-sop cache` again"):
        CachedTensors(tmp_path)["m1"]
    (tmp_path / "00001.safetensors").write_bytes(b"\x01")
    with pytest.raises(UserError, match="00001.safetensors: not a readable cache file"):
        CachedTensors(tmp_path)
