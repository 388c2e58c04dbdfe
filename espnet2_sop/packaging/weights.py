"""Where the weights of a model are."""

from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_yaml
from espnet2_sop.packaging.locate import WEIGHTS, open_package

AVERAGED = ("valid.acc.ave.pth", "valid.ter.ave.pth")  # of runs with the LLM, of runs of the heads


def find_weights(model: str | Path, revision: str | None = None, checkpoint: str | None = None) -> Path:
    """The checkpoint of a model.

    Args:
        model, revision, checkpoint: As in `Speech2Text.from_pretrained`.

    Raises:
        UserError: There is no such model, or none or several checkpoints to choose from, or it is ESPnet's baseline.
    """
    folder = open_package(model, revision)
    if "token_list" in read_yaml(folder / "config.yaml"):
        raise UserError(f"{model}: trained with --task asr; ESPnet's own Speech2Text reads it")
    found = [name for name in ([checkpoint] if checkpoint else [WEIGHTS, *AVERAGED]) if (folder / name).is_file()]
    if not found:
        raise UserError(f"{model}: no {checkpoint or 'checkpoint'} in it; name one that it has (checkpoint)")
    if WEIGHTS not in found and len(found) > 1:
        raise UserError(f"{model}: has {' and '.join(found)}; choose one (checkpoint)")
    return folder / found[0]


def quiet_libraries() -> None:
    """What the model's libraries say to developers is no news for someone who wants a transcript."""
    import warnings

    from transformers.utils import logging

    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")  # WavLM in transformers
    warnings.filterwarnings("ignore", "Passing `no_repeat_ngram_size`")  # in beam search: the prompt may be repeated
