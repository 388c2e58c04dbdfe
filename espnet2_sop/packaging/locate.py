"""Models: where a run or package is, where its weights are, and where what it names is."""

import re
from pathlib import Path, PurePosixPath

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_yaml
from espnet2_sop.packaging.archive import unpack

WEIGHTS = "model.safetensors"
AVERAGED = ("valid.acc.ave.pth", "valid.ter.ave.pth")  # of runs with the LLM, of runs of the heads
# what `espnet2-sop pack` writes; nothing else is fetched from a hub or brought to one
CONTENT = ("config.yaml", "README.md", WEIGHTS, "adapters/*", "ctc_vocab/*", "pretrained/*", "tokenizer/*")
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
SECTIONS = {
    **{f"{part}_conf": dict for part in ("encoder", "downsampler", "separator", "llm", "prompt", "model")},
    **{"encoder": str, "separator": str, "ctc_vocab": str, "num_talkers": int},
}


def open_package(source: str | Path, revision: str | None = None) -> Path:
    """Finds a model, fetching or unpacking it where needed; nothing in it is run.

    Zips are unpacked once for each content, into `$XDG_CACHE_HOME/espnet2_sop/packages` (`~/.cache` where the
    variable is not set). What comes from the Hugging Face hub lies in the hub's own cache (`$HF_HOME`).

    Args:
        source: Run folder of `espnet2-sop train`, folder or zip of `espnet2-sop pack`, or a Hugging Face id.
        revision: Branch, tag or commit of the Hugging Face repository.

    Returns:
        A folder for `espnet2_sop.decoding.decoder.load_run`; a package has the checkpoint `model.safetensors`.

    Raises:
        UserError: There is no such model, it cannot be fetched, or the zip is broken or would do harm.
    """
    path = Path(source).expanduser()
    if path.exists():
        if revision is not None:
            raise UserError(f"{source}: is on this machine; a revision ({revision}) goes with a Hugging Face id")
        folder = path if path.is_dir() else unpack(path)
    elif str(source).endswith(".zip") or not HUB_ID.fullmatch(str(source)):
        raise UserError(f"{source}: no such folder or zip")
    else:
        folder = fetch(str(source), revision)
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{source}: no config.yaml here; give a run folder or what `espnet2-sop pack` made")
    return folder


def find_weights(model: str | Path, revision: str | None = None, checkpoint: str | None = None) -> Path:
    """Finds the checkpoint of a model, fetching or unpacking the model where needed.

    Args:
        model: Run folder of `espnet2-sop train`, folder or zip of `espnet2-sop pack`, or a Hugging Face id.
        revision: Branch, tag or commit of the Hugging Face repository.
        checkpoint: File in the folder; None: that of the package, or the averaged one of a run.

    Returns:
        The file of the weights; the configuration is beside it.

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


def fetch(name: str, revision: str | None) -> Path:
    """Downloads a package from the Hugging Face hub, or finds it in the hub's cache.

    Args:
        name: Hugging Face id.
        revision: Branch, tag or commit; None is the main branch.

    Returns:
        The folder in the cache.

    Raises:
        UserError: The hub has no such package, or cannot be reached.
    """
    from huggingface_hub import snapshot_download

    from espnet2_sop.io.pretrained import unavailable

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(CONTENT)))
    except Exception as error:  # those of the HTTP library have no base in common with the hub's
        raise unavailable(f"{name}: no such folder here, and on the Hugging Face hub it", name, error) from error


def read_config(folder: Path, packed: bool) -> dict:
    """Reads the configuration of a model; names of folders within `folder` become paths.

    Args:
        folder: Run folder or package.
        packed: Whether it is a package: then it may name nothing outside of it but models of the hub.

    Returns:
        The configuration.

    Raises:
        UserError: The configuration is missing or broken, or names a folder that it must not, or that is not there.
    """
    config, path = read_yaml(folder / "config.yaml"), folder / "config.yaml"
    for key, kind in SECTIONS.items():
        if not isinstance(config.get(key), kind):
            raise UserError(f"{path}: {key} is missing or no {kind.__name__}; this is not a model of espnet2-sop train")
    for values, name, key in (
        (config["encoder_conf"], "encoder_conf.", "pretrained"),
        (config["llm_conf"], "llm_conf.", "pretrained"),
        (config["llm_conf"], "llm_conf.", "tokenizer"),
        (config, "", "ctc_vocab"),
    ):
        if key in values:
            values[key] = locate(folder, name + key, str(values[key]), packed)
    return config


def locate(folder: Path, option: str, value: str, packed: bool) -> str:
    """Finds a folder that a configuration names.

    Args:
        folder: Run folder or package.
        option: Key of the configuration, for messages.
        value: Its value: a folder, or a Hugging Face id.
        packed: Whether `folder` is a package.

    Returns:
        The path if the value is a folder within `folder`, else the value as it is.

    Raises:
        UserError: A package names something outside of it, or a folder that it does not have.
    """
    inside = PurePosixPath(value)
    if packed and (inside.is_absolute() or ".." in inside.parts or value.startswith("~")):
        raise UserError(f"{folder / 'config.yaml'}: {option}: {value!r} leads out of the package")
    if (folder / value).is_dir():
        return str(folder / value)
    if packed and (option not in ("encoder_conf.pretrained", "llm_conf.pretrained") or not HUB_ID.fullmatch(value)):
        raise UserError(
            f"{option}: {value} is not in this package; put it into {folder}, or ask for a package made with "
            "--include_pretrained"
        )
    return value
