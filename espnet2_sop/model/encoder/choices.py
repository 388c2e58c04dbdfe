"""The table of encoders."""

from espnet2_sop.io.registry import find_part
from espnet2_sop.model.encoder.abs_encoder import AbsEncoder
from espnet2_sop.model.encoder.speech import FAMILIES, HuggingFaceEncoder, read_settings
from espnet2_sop.model.encoder.whisper import WhisperEncoder

ENCODERS = {"huggingface": HuggingFaceEncoder, "whisper": WhisperEncoder}


def encoder_class(name: str, conf: dict) -> type[AbsEncoder]:
    """The class of an encoder; `huggingface` goes by the type of the model that `conf` names.

    Args:
        name: Key of ENCODERS, or `module:Class` of a user's own.
        conf: The user's `encoder_conf`.

    Returns:
        The class.

    Raises:
        UserError: There is no such class, or the model cannot be found or is of a type that is not known.
    """
    if name == "huggingface" and "pretrained" in conf:
        settings = read_settings(conf["pretrained"], conf.get("revision", "main"), {}, (*FAMILIES, "whisper"))
        if settings.model_type == "whisper":
            name = "whisper"
    return find_part("encoder", name, ENCODERS, AbsEncoder)
