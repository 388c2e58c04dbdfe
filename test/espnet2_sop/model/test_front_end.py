"""If these fail, LLM or Separator read frames of another block, or a cache holds frames that training changes."""

import dataclasses

import pytest
import torch

from espnet2_sop.model.build import build_model
from espnet2_sop.model.front_end import Frames


@pytest.fixture
def batch(waves):
    speech = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(wave) for wave in waves], batch_first=True)
    return speech, torch.tensor([len(wave) for wave in waves])


def equal(a: Frames, b: Frames) -> bool:
    return torch.equal(a.values, b.values) and torch.equal(a.lengths, b.lengths)


@pytest.mark.parametrize(
    ("trainable", "tap", "block"),
    [(["separator", "ctc"], 2, 2), (["separator", "ctc"], 1, 1), (["downsampler", "separator"], 2, 0), (["ctc"], 0, 0)],
)
@torch.no_grad()
def test_every_reader_gets_the_output_of_its_block(options, batch, trainable, tap, block):
    """The LLM of the last, the Separator of `tap`; the cache has the last one that is not trained and gives both."""
    conf = {"objective": "ctc", "trainable": trainable, "tap": tap}
    front_end = build_model(options("ctc", [], model_conf=conf)).eval().front_end
    outputs = [Frames(*front_end.encoder(*batch))]
    outputs += [Frames(*output) for output in front_end.downsampler(*outputs[0])]
    encoded = front_end.encode(*batch)
    assert front_end.cached_block == block and len(outputs) == 4
    for frames, number in ((encoded.llm, 3), (encoded.separator, tap), (encoded.cacheable, block)):
        assert equal(frames, outputs[number]), number
        assert frames.lengths.tolist() == [-(-n // 2**number) for n in outputs[0].lengths.tolist()]
    again = front_end.from_cache(*encoded.cacheable)
    assert equal(again.llm, encoded.llm) and equal(again.separator, encoded.separator)
    with pytest.raises(dataclasses.FrozenInstanceError):
        encoded.llm = None


@torch.no_grad()
def test_whispers_decoder_reads_the_encoder_and_heads_with_an_adapter_their_own_frames(heads_model, batch):
    """What nobody asks for is None; a cache is of the decoder's frames, which do not give those of the Separator."""
    front_end = heads_model.front_end
    both = front_end.encode(*batch)
    assert both.llm.values.size(1) == front_end.encoder(*batch)[0].size(1)
    assert equal(both.llm, Frames(*front_end.encoder(*batch))) and equal(both.cacheable, both.llm)
    of_heads = Frames(*front_end.encoder(*batch, for_heads=True))
    assert equal(both.separator, Frames(*front_end.downsampler(*of_heads)[front_end.tap - 1]))
    decoder, heads = front_end.encode(*batch, for_separator=False), front_end.encode(*batch, for_llm=False)
    assert equal(decoder.llm, both.llm) and decoder.separator is None
    assert equal(heads.separator, both.separator) and heads.llm is None and heads.cacheable is None
    cached = front_end.from_cache(*both.cacheable)
    assert equal(cached.llm, both.llm) and cached.separator is None


def test_parts_that_are_not_trained_have_no_dropout(options):
    front_end = build_model(options("ctc", ["separator", "ctc"])).train().front_end
    modes = {name: getattr(front_end, name).training for name in ("encoder", "downsampler", "separator", "ctc")}
    assert modes == {"encoder": False, "downsampler": False, "separator": True, "ctc": True}
