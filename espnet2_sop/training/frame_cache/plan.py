"""Finds the caches that a training can read, and checks that they fit it."""

import argparse
import hashlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from espnet2_sop.io import provenance
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.tensor_store import DONE
from espnet2_sop.model.build import PartChoices, encoder_choices, llm_class, separator_choices
from espnet2_sop.model.checkpoint import part_of, read_state
from espnet2_sop.model.encoder.abs_encoder import HEADS_ADAPTER
from espnet2_sop.model.front_end import FRONT_PARTS, cached_block
from espnet2_sop.model.objectives import OBJECTIVES, loss_share

KINDS = ("frames", "sop")
COSTS = ("gradient_checkpointing",)  # keys that change no result
REDO = "run `espnet2-sop cache` with the options of this training"


@dataclass(frozen=True)
class Cache:
    """One kind of result for all mixtures of one manifest.

    Attributes:
        kind: `frames` (of `FrontEnd.cached_block`) or `sop` (output of the CTC heads).
        mode: `train` or `valid`.
        manifest: The mixtures.
        folder: Where it is; the name has a hash of `origin`, so that what was made otherwise is somewhere else.
        origin: All that the result depends on.
    """

    kind: str
    mode: str
    manifest: Path
    folder: Path
    origin: dict[str, Any]

    @property
    def done(self) -> bool:
        """Whether it is complete and was made from what the training has."""
        return (self.folder / DONE).is_file() and provenance.changes(self.folder, self.origin) == []


def obstacles(args: argparse.Namespace) -> dict[str, str]:
    """Finds out which kinds a training has to compute in every step.

    Args:
        args: Options of the training.

    Returns:
        {kind: reason, "" if it can be read from a cache} of the kinds that the training uses.
    """
    conf = args.model_conf
    objective, trainable, tap = conf["objective"], conf["trainable"], conf.get("tap", 2)
    share = loss_share(objective, conf.get("ctc_weight"))
    found = {"frames": _trained(trainable, ["encoder"])}
    heads_compute = bool(share)
    if "sop" in OBJECTIVES[objective].adapters and args.prompt_conf.get("sop_source", "ctc") == "ctc":
        parts = ["encoder", HEADS_ADAPTER, *(["downsampler"] if tap else []), "separator", "ctc"]
        found["sop"] = "its CTC loss needs the heads" if share else _trained(trainable, parts)
        heads_compute = bool(found["sop"]) or "sop" not in args.cache_kinds
    if heads_compute and args.encoder_conf.get("heads_lora") is not None:
        found["frames"] = "the heads read others, by encoder_conf.heads_lora"
    return {kind: found[kind] for kind in args.cache_kinds if kind in found}


def _trained(trainable: list[str], parts: list[str]) -> str:
    names = [name for name in parts if name in trainable]
    return f"model_conf.trainable has {', '.join(names)}" if names else ""


def find_caches(args: argparse.Namespace) -> Iterator[Cache | str]:
    """Finds the caches of a training.

    Args:
        args: Options of `espnet2-sop train`, with `--cache`.

    Yields:
        A cache, or the reason in words why something is computed in every step.

    Raises:
        UserError: A checkpoint to start from, or a manifest, cannot be read.
    """
    possible = []
    for kind, why in obstacles(args).items():
        if why:
            yield f"--cache: {kind} are computed in every step ({why})"
        else:
            possible.append(kind)
    manifests = {}
    for mode in ("train", "valid"):
        for path, _, kind in getattr(args, f"{mode}_data_path_and_name_and_type"):
            if kind == "mixture" and possible:
                if path.endswith(".jsonl"):
                    manifests[mode] = Path(path)
                else:
                    yield f"--cache: {path} draws new mixtures in every epoch, {' and '.join(possible)} are computed"
    if manifests:
        made_by = _model_origins(args, possible)
        for mode, manifest in manifests.items():
            data = provenance.fingerprint(manifest)
            for kind in possible:
                made_from = {"mixtures": data, **made_by[kind]}
                digest = hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()
                folder = Path(args.cache) / f"{kind}-{manifest.parent.name}-{digest[:12]}"
                yield Cache(kind, mode, manifest, folder, made_from)


def _model_origins(args: argparse.Namespace, kinds: list[str]) -> dict[str, dict]:
    """Returns {kind: the options and weights that it depends on}."""
    state: dict[str, torch.Tensor] = {}
    for path in args.init_param:
        state |= read_state(path.partition(":")[0])
    block = cached_block(args.model_conf["trainable"], args.model_conf.get("tap", 2), llm_class(args).reads_encoder)

    def conf(name: str) -> dict:
        return {k: v for k, v in getattr(args, f"{name}_conf").items() if k not in COSTS}

    def weights(*parts: str) -> dict[str, str]:
        return {name: digest_of({k: v for k, v in state.items() if part_of(k) == name}) for name in parts}

    encoder = conf("encoder")
    heads_lora = encoder.pop("heads_lora", None)  # changes no frames that are cached
    frames = {
        "level": block,
        "encoder": {**_class(encoder_choices, args.encoder), **encoder, **_files(args.encoder_conf)},
        "downsampler": conf("downsampler") if block else None,
        "weights": weights("encoder", *(["downsampler"] if block else [])),
        "autocast": bool(args.use_amp and args.ngpu),
        "dtype": cache_dtype(args) if "frames" in kinds else "float32",
    }
    found = {"frames": frames}
    if "sop" in kinds:
        heads = {
            "heads_lora": heads_lora,
            "downsampler": conf("downsampler"),
            "separator": {**_class(separator_choices, args.separator), **conf("separator")},
            "num_talkers": args.num_talkers,
            "weights": weights(*FRONT_PARTS),
        }
        found["sop"] = {**frames, **heads}
    return found


def _class(choices: PartChoices, name: str) -> dict[str, str]:
    """Returns the name of a part, with a fingerprint of the file of a user's own class."""
    own = {"source": provenance.fingerprint(inspect.getfile(choices.get_class(name)))} if ":" in name else {}
    return {"class": name, **own}


def cache_dtype(args: argparse.Namespace) -> str:
    """Returns the dtype of cached frames: `--cache_dtype`, or the dtype of the LLM."""
    return args.cache_dtype or args.llm_conf.get("dtype", "float32")


def digest_of(tensors: dict[str, torch.Tensor]) -> str:
    """Returns a hash of names, shapes and values; `pretrained` for no tensors: the pretrained weights are unchanged."""
    if not tensors:
        return "pretrained"
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _files(encoder_conf: dict) -> dict[str, dict]:
    """Returns fingerprints of the files of a local pretrained encoder; none for a hub id."""
    folder = Path(str(encoder_conf.get("pretrained", "")))
    names = sorted(path for pattern in ("*.json", "*.safetensors", "*.bin") for path in folder.glob(pattern))
    return {"files": {path.name: provenance.fingerprint(path) for path in names}} if folder.is_dir() else {}


def read_caches(args: argparse.Namespace) -> None:
    """Lets a training read its caches by changing the data that its options name.

    Args:
        args: Options of `espnet2-sop train`, with `--cache`; changed.

    Raises:
        UserError: A cache is missing, not complete, or was made by another model or from other mixtures.
    """
    for cache in find_caches(args):
        if isinstance(cache, str):
            print(cache, flush=True)
            continue
        require(cache)
        key = f"{cache.mode}_data_path_and_name_and_type"
        data = list(getattr(args, key))
        if cache.kind == "frames":
            data = [entry for entry in data if entry[2] != "mixture"]
        setattr(args, key, [*data, (str(cache.folder), cache.kind, "cached")])
        print(f"--cache: {cache.kind} of {cache.manifest} are read from {cache.folder}", flush=True)


def require(cache: Cache) -> None:
    """Refuses a cache that the training cannot use.

    Args:
        cache: Cache as the training needs it.

    Raises:
        UserError: It is missing, not complete, or was made by another model or from other mixtures.
    """
    if cache.done:
        return
    here = cache.folder if cache.folder.is_dir() else nearest(cache)
    changed = provenance.changes(here, cache.origin) if here else None
    if changed:
        reason = f"{here} was made otherwise: {provenance.listed(changed)}"
    elif here:
        reason = f"{here} is not complete"
    else:
        reason = "there are none"
    raise UserError(f"--cache: no {cache.kind} of {cache.manifest} for this training: {reason}; {REDO}")


def nearest(cache: Cache) -> Path | None:
    """Returns the folder of the same kind and set that differs least from a cache; None if there is none."""
    others = cache.folder.parent.glob(f"{cache.kind}-{cache.manifest.parent.name}-*")
    known = {path: found for path in others if (found := provenance.changes(path, cache.origin)) is not None}
    return min(known, key=lambda path: len(known[path]), default=None)
