"""Pretrained models by Hugging Face id or folder: loaded in one way, errors are one line."""

from collections.abc import Callable
from pathlib import Path

from huggingface_hub.errors import GatedRepoError

from espnet2_sop.io.errors import UserError

ATTENTION = ("sdpa", "eager", "flash_attention_2")  # any other name can be that of code on the hub
DTYPES = ("float32", "bfloat16")  # of the frozen weights or the products of a pretrained part


def load_pretrained[T](load: Callable[..., T], name: str, option: str, **kwargs) -> T:
    """Calls a `from_pretrained` and turns its many errors into one line; no code of the repository is run.

    Args:
        load: A `from_pretrained` class method of transformers' Auto classes.
        name: Hugging Face id, or folder (anything that starts with `.` or `/`, or exists).
        option: The configuration key that holds the name, for the error message.
        **kwargs: Further arguments of `load`.

    Returns:
        What `load` returns.

    Raises:
        UserError: The folder is missing, or the hub cannot give the model.
    """
    if name.startswith((".", "/", "~")) and not Path(name).expanduser().is_dir():
        raise UserError(f"{option}: no folder {name}; give a Hugging Face id or the folder of a model")
    try:
        return load(name, trust_remote_code=False, **kwargs)
    except (OSError, ValueError) as error:
        raise unavailable(f"{option}: {name}", name, error) from error


def quiet_libraries() -> None:
    """Silences progress bars and warnings of the libraries that are meant for developers."""
    import warnings

    from transformers.utils import logging

    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")  # WavLM in transformers
    warnings.filterwarnings("ignore", "Passing `no_repeat_ngram_size`")  # in beam search: the prompt may be repeated


def attention_of(config) -> str | None:
    """How a model of transformers computes attention, such as `sdpa`.

    Its configuration has this under a private name only.
    """
    return config._attn_implementation


def unavailable(what: str, name: str, error: Exception) -> UserError:
    """Makes one line of the errors of a hub or a folder.

    Args:
        what: How the line begins.
        name: Hugging Face id or folder.
        error: Raised by transformers or huggingface_hub.

    Returns:
        The error to raise.
    """
    if any(isinstance(e, GatedRepoError) for e in (error, error.__cause__)):
        page = f"https://huggingface.co/{name}"
        advice = f"is gated: ask for access on {page}, then `hf auth login`, or give a local folder"
    else:
        reason = reason_of(error)
        advice = (
            f"cannot be loaded ({reason}); check the id, your access to it (`hf auth login`) or give a local folder"
        )
    return UserError(f"{what} {advice}")


def reason_of(error: Exception) -> str:
    """The first line of an error that has several."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
