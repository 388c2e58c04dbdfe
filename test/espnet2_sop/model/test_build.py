"""If these fail, a model is built from what its user did not write."""

import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.model.build import build_model


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_conf": {"objective": "sing", "trainable": []}}, "objective: 'sing'"),
        ({"model_conf": {"objective": "ctc", "trainable": [], "ctc_weight": 0.3}}, "objective ctc has no other loss"),
        ({"model_conf": {"objective": "joint", "trainable": [], "ctc_weight": 1.5}}, "ctc_weight: 1.5 is not from 0"),
        ({"model_conf": {"objective": "align", "trainable": [], "ctc_weight": 0}}, "align trains the heads, too"),
        ({"model_conf": {"objective": "sot", "trainable": ["decoder"]}}, "no module 'decoder'"),
        ({"model_conf": {"objective": "sot"}}, "model_conf.trainable is missing"),
        ({"model_conf": {"objective": "sot", "trainable": [], "tap": 4}}, "tap: 4"),
        ({"prompt_conf": {"sop_source": "thin air"}}, "sop_source: 'thin air' is not one of ctc, reference, none"),
        ({"prompt_conf": {"sop_source": "other"}}, "sop_source: 'other' is not one of ctc, reference, none"),
        ({"prompt_conf": {"sop_source": "none", "confidence_mark": "?"}}, "only CTC has confidences"),
        ({"separator_conf": {"hiden_size": 3}}, "separator_conf: no key 'hiden_size'"),
        ({"separator_conf": {"hidden_size": "3"}}, "separator_conf.hidden_size: '3' is not of type int"),
        ({"separator_conf": {"hidden_size": -3}}, "separator_conf: .*-3|separator_conf: hidden_size must be"),
        ({"separator_conf": {"dropout": 1.5}}, "separator_conf: dropout .*"),
        ({"separator_conf": ["hidden_size"]}, r"separator_conf: \['hidden_size'\] are no keys and values"),
        ({"downsampler_conf": {"layer_norm": 1}}, "downsampler_conf.layer_norm: 1 is not of type bool"),
        ({"encoder_conf": {"pretrained": 3}}, "encoder_conf.pretrained: 3 is not of type str"),
        ({"llm_conf": {"pretrained": ["a"]}}, "llm_conf.pretrained: "),
        ({"model_conf": {"objective": "sot", "trainable": "sot"}}, "trainable: 'sot' is not of type list"),
        ({"model_conf": {"objective": "sot", "trainable": [], "tap": "2"}}, "tap: 2"),
        ({"model_conf": {"objective": "sot", "trainable": [], "ctc_weight": "x"}}, "ctc_weight: 'x' is not of type"),
        ({"prompt_conf": {"confidence_threshold": float("nan")}}, "confidence_threshold: nan is not of type float"),
        ({"llm_conf": {}}, "llm_conf.pretrained is missing"),
        ({"llm": "whisper"}, "is a llama model, no Whisper; leave out llm: whisper"),
        ({"ctc_vocab": "nowhere"}, "nowhere/vocabulary.json: no such file"),
    ],
)
def test_wrong_configuration_is_one_line(options, changes, message):
    with pytest.raises(UserError, match=message) as error:
        build_model(options("sot", [], **changes))
    assert r"\n" not in str(error.value)


def test_whispers_decoder_is_not_aligned(options, whisper_parts):
    with pytest.raises(UserError, match=r"model_conf.objective: Whisper's decoder .* start with sot"):
        build_model(options("align", ["encoder", "projector"], **whisper_parts))
