"""Which class encodes with a Hugging Face model."""

from espnet2_sop.encoder.speech import FAMILIES, HuggingFaceEncoder, read_settings
from espnet2_sop.encoder.whisper import WhisperEncoder

ENCODERS = {"huggingface": HuggingFaceEncoder, "whisper": WhisperEncoder}


def encoder_class(name: str, conf: dict) -> type:
    """The class of an encoder; `huggingface` goes by the type of the model that `conf` names.

    Args:
        name: Key of ENCODERS.
        conf: The user's `encoder_conf`.

    Raises:
        UserError: The model cannot be found, or its type is not known.
    """
    if name == "huggingface" and "pretrained" in conf:
        settings = read_settings(conf["pretrained"], conf.get("revision", "main"), {}, (*FAMILIES, "whisper"))
        if settings.model_type == "whisper":
            name = "whisper"
    return ENCODERS[name]
