"""A model that cannot be had ends in one line that says why; the hub is a transport that answers as the real one."""

import importlib

import huggingface_hub
import pytest
from transformers import AutoModelForCausalLM, LlamaConfig

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.pretrained import attention_of
from espnet2_sop.model.encoder.speech import HuggingFaceEncoder
from espnet2_sop.text.llm_tokenizer import LLMTokenizer

# the HTTP library of the hub's client, which is not the same in all of its versions
httpx = importlib.import_module(type(huggingface_hub.get_session()).__module__.partition(".")[0])


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Sets how the hub answers every request: hub(status, X-Error-Code)."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    def answer_with(status, code):
        def answer(request):
            return httpx.Response(status, headers={"X-Error-Code": code}, request=request)

        huggingface_hub.set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(answer)))

    yield answer_with
    huggingface_hub.set_client_factory(httpx.Client)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "GatedRepo", "is gated: ask for access on https://huggingface.co/meta-llama/Llama-3.2-1B, then `hf auth"),
        (403, "GatedRepo", "is gated: ask for access on https://huggingface.co/meta-llama/Llama-3.2-1B, then `hf auth"),
        (404, "RepoNotFound", "cannot be loaded"),
        (404, "RevisionNotFound", "cannot be loaded"),
    ],
)
def test_what_the_hub_does_not_give_is_one_line(hub, status, code, message):
    hub(status, code)
    for option, load in (("llm_conf", LLMTokenizer), ("encoder_conf", HuggingFaceEncoder)):
        with pytest.raises(UserError) as error:
            load("meta-llama/Llama-3.2-1B")
        text = str(error.value)
        assert text.startswith(f"{option}.pretrained: meta-llama/Llama-3.2-1B {message}")
        assert "\n" not in text


def test_a_broken_folder_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="encoder_conf.pretrained: .* cannot be loaded") as error:
        HuggingFaceEncoder(str(tmp_path))
    assert r"\n" not in str(error.value)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_transformers_still_says_how_attention_is_computed(attention):
    """If this fails, transformers has renamed what `attention_of` reads, and greedy decoding verifies no drafts."""
    config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    assert attention_of(AutoModelForCausalLM.from_config(config, attn_implementation=attention).config) == attention
