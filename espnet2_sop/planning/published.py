"""Published sizes of common encoders and LLMs, for planning without access to the hub."""

from transformers import AutoConfig, LlamaConfig, PretrainedConfig, WavLMConfig, WhisperConfig

from espnet2_sop.io.pretrained import load_pretrained

LLAMA_3 = {"vocab_size": 128256, "num_key_value_heads": 8}
LLAMA_1B = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32}
LLAMA_3B = {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24}
LLAMA_8B = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
PUBLISHED: dict[str, tuple[type[PretrainedConfig], dict]] = {  # from the models' config.json
    "meta-llama/Llama-3.2-1B": (LlamaConfig, {**LLAMA_3, **LLAMA_1B, "tie_word_embeddings": True}),
    "meta-llama/Llama-3.2-3B": (LlamaConfig, {**LLAMA_3, **LLAMA_3B, "tie_word_embeddings": True}),
    "meta-llama/Llama-3.1-8B": (LlamaConfig, {**LLAMA_3, **LLAMA_8B, "tie_word_embeddings": False}),
    "HuggingFaceTB/SmolLM2-135M": (
        LlamaConfig,
        {
            **{"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30},
            **{"num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True},
        },
    ),
    "microsoft/wavlm-base-plus": (WavLMConfig, {}),
    "microsoft/wavlm-large": (
        WavLMConfig,
        {
            **{"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
            **{"feat_extract_norm": "layer", "do_stable_layer_norm": True},
        },
    ),
    "openai/whisper-base": (
        WhisperConfig,
        {
            **{"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048},
            **{"decoder_layers": 6, "decoder_attention_heads": 8, "decoder_ffn_dim": 2048},
        },
    ),
}


def config_of(name: str, option: str) -> PretrainedConfig:
    """Finds the configuration of a model: the published one, else that of the hub or the folder.

    Args:
        name: Hugging Face id or folder; `...-Instruct` has the sizes of its base model.
        option: Configuration key of the name, for the error message.

    Returns:
        The configuration.

    Raises:
        UserError: The model is not in the table and cannot be found.
    """
    if name.removesuffix("-Instruct") in PUBLISHED:
        kind, values = PUBLISHED[name.removesuffix("-Instruct")]
        return kind(**values)
    return load_pretrained(AutoConfig.from_pretrained, name, option)
