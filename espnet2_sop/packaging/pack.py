"""Packing: a trained model as a folder that can be handed on."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from huggingface_hub import try_to_load_from_cache
from safetensors.torch import save_file
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForCausalLM

from espnet2_sop.io.disk import written_to
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_path, atomic_write
from espnet2_sop.io.pretrained import load_pretrained
from espnet2_sop.model.checkpoint import read_state
from espnet2_sop.model.llm.adapters import save_adapters
from espnet2_sop.packaging.locate import WEIGHTS
from espnet2_sop.packaging.model_card import CardOptions, model_card, title
from espnet2_sop.text.llm_tokenizer import build_tokenizer
from espnet2_sop.text.vocabulary import read_vocabulary_info

# names of files that only the machine of the training has
LOCAL_KEYS = (
    *("config", "output_dir", "init_param", "cache", "train_shape_file", "valid_shape_file"),
    *("train_data_path_and_name_and_type", "valid_data_path_and_name_and_type"),
)

VOCABULARY = ("vocabulary.json", "tokens.txt", "spm.model")


@dataclass(frozen=True)
class Pretrained:
    """A pretrained part of a packed model.

    Attributes:
        option: Section of the configuration that names it, `encoder_conf` or `llm_conf`.
        name: Hugging Face id, or folder of the one who trained.
        revision: Commit of the hub's repository if it is known, else the branch or tag; None for a folder.
        carried: Whether it is in the package.
    """

    option: str
    name: str
    revision: str | None
    carried: bool

    @property
    def folder(self) -> str:
        """Where it is, or belongs, in the package."""
        return f"pretrained/{self.option.removesuffix('_conf')}"

    @property
    def missing(self) -> bool:
        """Whether a receiver cannot find it: a folder that is not in the package."""
        return self.revision is None and not self.carried


def pack(
    run: Path,
    checkpoint: str,
    config: dict,
    out: Path,
    include_pretrained: bool,
    options: CardOptions,
    dtype: str = "float32",
) -> list[Pretrained]:
    """Makes the folder of a package, all or nothing.

    Args:
        run: Output folder of `espnet2-sop train`.
        checkpoint: File in it.
        config: Configuration of the run.
        out: Folder to make; an older package there is replaced.
        include_pretrained: Whether encoder and LLM are put into it.
        options: For the model card.
        dtype: Of the trained weights in the files; whoever loads them has float32 again.

    Returns:
        The pretrained parts.

    Raises:
        UserError: A part is missing or broken, or `out` is something else than a package, or the only place of a
            pretrained part, or it cannot be written.
    """
    if out.exists() and not is_package(out) and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: is there and is no package; give a new folder")
    state = read_state(run / checkpoint)
    if not all(hasattr(value, "numel") for value in state.values()):
        raise UserError(f"{run / checkpoint}: holds more than weights; give one such as valid.acc.ave.pth")
    if dtype != "float32":
        state = {key: value.to(getattr(torch, dtype)) for key, value in state.items()}
    options_of_parts = [option for option in ("encoder_conf", "llm_conf") if "pretrained" in config[option]]
    parts = [pretrained_part(config, option, include_pretrained) for option in options_of_parts]
    for part in parts:
        if part.missing and out.resolve() in Path(part.name).expanduser().resolve().parents:
            raise UserError(
                f"--out {out}: the {title(part)} is in it and would be lost; pack with --include_pretrained to keep "
                "it, or give a new folder"
            )
    work = out.with_name(f".{out.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    try:
        with written_to(out):
            copy_vocabulary(Path(config["ctc_vocab"]), work / "ctc_vocab")
            tokenizer = build_tokenizer(config["llm_conf"])
            tokenizer.hf.save_pretrained(work / "tokenizer")
            for part in parts:
                if part.carried:
                    carry(part, work / part.folder)
            packed = packed_config(config, parts)
            rest = save_adapters(work / "adapters", state, config["llm_conf"], packed["llm_conf"], tokenizer.sc_id)
            rest = {key: value.clone().contiguous() for key, value in rest.items()}
            save_file(rest, work / WEIGHTS, {"digest": digest(state)})  # of several entries the order would be random
            with atomic_write(work / "config.yaml") as f:
                yaml.safe_dump(packed, f, sort_keys=False)
            with atomic_write(work / "README.md") as f:
                f.write(model_card(config, parts, sum(value.numel() for value in state.values()), options))
            for path in work.rglob("*.safetensors"):
                shutil.copymode(work / "config.yaml", path)  # they are written for the owner alone
            shutil.rmtree(out, ignore_errors=True)
            os.replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return parts


def unpack(folder: Path, out: Path) -> str:
    """Makes of a package what a training starts from: `model.pth`, and `config.yaml` and the vocabulary beside it.

    Args:
        folder: The package.
        out: Folder to write to.

    Returns:
        Kind of the vocabulary, which is in `out/vocab/KIND`.

    Raises:
        UserError: A file is missing or broken, or cannot be written.
    """
    kind = read_vocabulary_info(folder / "ctc_vocab")["kind"]
    state = {key: value.float() for key, value in read_state(folder / WEIGHTS).items()}
    shutil.rmtree(out / "vocab", ignore_errors=True)
    copy_vocabulary(folder / "ctc_vocab", out / "vocab" / kind)
    with atomic_write(out / "config.yaml") as f:
        f.write((folder / "config.yaml").read_text("utf-8"))
    with atomic_path(out / "model.pth") as part:
        torch.save(state, part)
    return kind


def is_package(folder: Path) -> bool:
    """Whether a folder has what only packages have: Hugging Face models, too, have a `model.safetensors`."""
    return all((folder / name).is_file() for name in ("config.yaml", WEIGHTS, f"ctc_vocab/{VOCABULARY[0]}"))


def pretrained_part(config: dict, option: str, include: bool) -> Pretrained:
    """A pretrained part of a model, with the commit that the hub's cache has of it.

    Args:
        config: Configuration of the run.
        option: Section that names the part, `encoder_conf` or `llm_conf`.
        include: Whether it goes into the package.

    Returns:
        The part.
    """
    name, revision = config[option]["pretrained"], config[option].get("revision", "main")
    if Path(name).expanduser().is_dir():
        return Pretrained(option, name, None, include)
    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Pretrained(option, name, Path(found).parent.name if isinstance(found, str) else revision, include)


def digest(state: dict[str, torch.Tensor]) -> str:
    """SHA-256 of all weights, adapters included.

    It stands in the head of `model.safetensors`, because `provenance.fingerprint` tells models apart by that file, of
    which it reads no more than both ends.
    """
    found = hashlib.sha256()
    for key in sorted(state):
        found.update(key.encode())
        found.update(state[key].contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def copy_vocabulary(source: Path, folder: Path) -> None:
    """Copies the files of a vocabulary, and no others that lie beside them.

    Args:
        source: Folder of `espnet2-sop vocab`.
        folder: Folder to make.

    Raises:
        UserError: The source has no vocabulary.
    """
    folder.mkdir(parents=True)
    for name in VOCABULARY:
        if (source / name).is_file():
            # not by shutil, which would name the source if the disk is full
            (folder / name).write_bytes((source / name).read_bytes())
    if not (folder / "vocabulary.json").is_file():
        raise UserError(f"ctc_vocab: {source} has no vocabulary.json; is this the folder in which the run was made?")


def carry(part: Pretrained, folder: Path) -> None:
    """Saves a pretrained part, its weights as safetensors.

    Args:
        part: Encoder or LLM.
        folder: Folder to make.
    """
    auto = AutoModel if part.option == "encoder_conf" else AutoModelForCausalLM
    name, option, revision = str(Path(part.name).expanduser()), f"{part.option}.pretrained", part.revision or "main"
    model = load_pretrained(auto.from_pretrained, name, option, revision=revision, dtype="auto")
    model.save_pretrained(folder)
    if part.option == "encoder_conf" and model.config.model_type == "whisper":
        extractor = load_pretrained(AutoFeatureExtractor.from_pretrained, name, option, revision=revision)
        extractor.save_pretrained(folder)


def packed_config(config: dict, parts: list[Pretrained]) -> dict:
    """The configuration as the package has it, with folders of the package only.

    Args:
        config: Configuration of the run.
        parts: The pretrained parts.

    Returns:
        A new configuration.
    """
    packed = {key: value for key, value in config.items() if key not in LOCAL_KEYS} | {"ctc_vocab": "ctc_vocab"}
    for part in parts:
        section = {key: value for key, value in config[part.option].items() if key != "revision"}
        if part.carried or part.missing:
            packed[part.option] = section | {"pretrained": f"./{part.folder}"}
        else:
            packed[part.option] = section | {"revision": part.revision}
    packed["llm_conf"]["tokenizer"] = "tokenizer"
    return packed
