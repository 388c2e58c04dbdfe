"""LoRA adapters from the keys of a configuration, for the LLM and for the encoder."""

import peft

from espnet2_sop.io.errors import UserError

# keys of PEFT without side effects: some of the others import modules by name
LORA_KEYS = (
    *("r", "lora_alpha", "lora_dropout", "target_modules"),
    *("use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "layers_to_transform"),
)


def lora_config(option: str, conf: dict, **more) -> peft.LoraConfig:
    """The LoRA adapter that a configuration describes.

    Args:
        option: Where the keys are from, for messages.
        conf: Keys of `peft.LoraConfig`.
        **more: Keys that the user does not choose.

    Returns:
        PEFT's configuration.

    Raises:
        UserError: A key is not known, or peft refuses a value.
    """
    for key in conf:
        if key not in LORA_KEYS:
            raise UserError(f"{option}: no key {key!r}; known: {', '.join(LORA_KEYS)}")
    try:
        return peft.LoraConfig(**conf, **more)
    except (TypeError, ValueError) as error:
        raise UserError(f"{option}: PEFT refuses it ({str(error).splitlines()[0]})") from None
