"""The systems of a recipe: where each starts, how it is decoded, and in which order they are trained.

A system NAME is a file `train_NAME.yaml`. Besides the options of `espnet2-sop train` it has

- `init_from`: the system whose checkpoint it starts from; `pretrained` for the pretrained encoder and LLM (or the model
  of `--pretrained_model`); `scratch` for ESPnet's baseline;
- `decode_mode`: `ctc`, `sot`, `sop` or `espnet`, as for `espnet2-sop decode`;
- `defaults` (optional): a file in the same folder whose keys it changes;
- `train: false` (optional): the weights of the start are taken as they are.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import DEFAULTS, read_configs, read_yaml, with_defaults
from espnet2_sop.training.schedule import check_warmup

KEYS = ("init_from", "decode_mode", "train")  # those that the trainer never sees
SIMILAR = (*KEYS, DEFAULTS, "warmup")  # a misspelt one is told from an option of the trainer by its likeness
PRETRAINED, SCRATCH = "pretrained", "scratch"
NAME = re.compile(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*")
ESPNET = "espnet"
DECODE_MODES = {  # objective: what its model can be decoded as
    "align": ("ctc",),
    "sot": ("sot",),
    "ctc": ("ctc",),
    "sop": ("sop", "ctc"),
    "joint": ("sop", "ctc"),
    ESPNET: (ESPNET,),
}
STAGES = {"align": 5, "sot": 5, "ctc": 6, "sop": 7, "joint": 7, ESPNET: 8}  # stage of sop.sh
FOLDERS = {"align": "stage0_", "sot": "stage1_", "ctc": "stage2_", "sop": "stage3_", "joint": "stage1_", ESPNET: ""}


@dataclass(frozen=True)
class System:
    """One system, resolved.

    Attributes:
        name: `NAME` of `train_NAME.yaml`.
        init_from: Name of the system it starts from, `pretrained` or `scratch`.
        decode_mode: `ctc`, `sot`, `sop` or `espnet`.
        trained: False: the weights of the start are taken as they are.
        objective: `model_conf.objective`, or `espnet`.
        checkpoint: File of the run that later systems, decoding and packing take: the average of the best epochs.
        vocabulary: Kind of the CTC vocabulary, `llm` or `sentencepiece`; `char` of ESPnet's baseline.
        configs: Its configuration files in the order in which they are merged.
        inherits: Name of the file in `defaults`, "" if none.
        stage: Stage of `sop.sh` in which it is trained.
        folder: Its run below the folder of the experiment.
        start: Folder and checkpoint that it starts from, below the folder of the experiment; "" if none.
        turn: Its place among the systems of its stage: those of one turn do not wait for each other.
    """

    name: str
    init_from: str
    decode_mode: str
    trained: bool
    objective: str
    checkpoint: str
    vocabulary: str
    configs: tuple[Path, ...]
    inherits: str
    stage: int
    folder: str
    start: str
    turn: int

    def train_words(self, expdir: str, pretrained: str | None = None) -> list[str]:
        """The command that trains the system, without its data and the options of the machine.

        Args:
            expdir: Folder of the experiment.
            pretrained: Checkpoint that systems with `init_from: pretrained` start from; None: the pretrained parts.

        Returns:
            Words of the command.
        """
        words = ["espnet2-sop", "train", *(f"--config={path}" for path in self.configs)]
        if self.decode_mode == ESPNET:
            words += ["--task", "asr", "--token_list", f"{expdir}/vocab/char/tokens.txt"]
        else:
            words += ["--vocab_dir", f"{expdir}/vocab"]
        words += ["--output_dir", f"{expdir}/{self.folder}"]
        init = self.init_param(expdir, pretrained)
        return [*words, "--init_param", init] if init else words

    def init_param(self, expdir: str, pretrained: str | None = None) -> str:
        """The checkpoint that the system starts from.

        Args:
            expdir: Folder of the experiment.
            pretrained: As for `train_words`.

        Returns:
            Path; "" if none.
        """
        if self.init_from == PRETRAINED:
            return pretrained or ""
        return f"{expdir}/{self.start}" if self.start else ""


def resolve_systems(conf_dir: Path, base: Sequence[Path], names: Iterable[str]) -> list[System]:
    """Resolves systems and all that they start from.

    Args:
        conf_dir: Folder of the `train_NAME.yaml`.
        base: Configuration files of all systems but ESPnet's baseline; later ones win.
        names: Systems that are wanted.

    Returns:
        The systems in the order in which they are trained.

    Raises:
        UserError: A file is missing or its name cannot be that of a system, a key is missing, misspelt or wrong, or
            systems start from each other in a circle.
    """
    found: dict[str, System] = {}

    def add(name: str, waiting: tuple[str, ...]) -> System:
        if name in found:
            return found[name]
        path = conf_dir / f"train_{name}.yaml"
        if not NAME.fullmatch(name) or name in (PRETRAINED, SCRATCH):
            raise UserError(
                f"{path}: {name!r} cannot be the name of a system; rename the file: letters and digits with '_' "
                f"between them, and neither {PRETRAINED} nor {SCRATCH}"
            )
        if name in waiting:
            circle = " -> ".join([*waiting[waiting.index(name) :], name])
            raise UserError(f"{path}: init_from goes in a circle: {circle}; one of them must start elsewhere")
        own = _read_keys(path)
        target, before = own["init_from"], None
        if target not in (PRETRAINED, SCRATCH):
            if not (conf_dir / f"train_{target}.yaml").is_file():
                raise UserError(f"{path}: init_from: {_unknown(conf_dir, target)}, or write init_from: {PRETRAINED}")
            before = add(target, (*waiting, name))
        found[name] = _resolve(path, name, own, base, before)
        return found[name]

    for name in names:
        if not (conf_dir / f"train_{name}.yaml").is_file():
            raise UserError(f"--systems: {_unknown(conf_dir, name)}")
        add(name, ())
    return sorted(found.values(), key=lambda system: (system.stage, system.turn))


def known_systems(conf_dir: Path) -> list[str]:
    """Names of all systems of a folder.

    Raises:
        UserError: It has none.
    """
    names = sorted(path.stem.removeprefix("train_") for path in conf_dir.glob("train_*.yaml") if path.is_file())
    if not names:
        raise UserError(f"{conf_dir}: no train_NAME.yaml here; give the folder of a recipe's configurations")
    return names


def _unknown(conf_dir: Path, name: str) -> str:
    return f"no system {name!r}: {conf_dir}/train_{name}.yaml: no such configuration; there are " + ", ".join(
        known_systems(conf_dir)
    )


def _read_keys(path: Path) -> dict[str, Any]:
    """The keys of a system that are not the trainer's, inherited ones included."""
    for file in with_defaults([path]):
        for key in read_yaml(file):
            if key not in SIMILAR and (close := difflib.get_close_matches(key.lower(), SIMILAR, 1, 0.8)):
                raise UserError(f"{file}: no key {key!r}; write {close[0]}")
    keys = read_configs([path])
    if "init_from" not in keys:
        raise UserError(
            f"{path}: no init_from; write where the system starts: init_from: {PRETRAINED}, or the name of another "
            "system, such as init_from: ctc"
        )
    if "decode_mode" not in keys:
        raise UserError(f"{path}: no decode_mode; write decode_mode: {_either(_modes())}")
    if not isinstance(keys["init_from"], str):
        raise UserError(
            f"{path}: init_from: {keys['init_from']!r} is not the name of a system; write one, such as init_from: ctc, "
            f"or init_from: {PRETRAINED}"
        )
    if not isinstance(keys.get("train", True), bool):
        raise UserError(f"{path}: train: {keys['train']!r} is neither true nor false")
    if keys.get("train") is False and keys["init_from"] == SCRATCH:
        raise UserError(f"{path}: train: false takes the weights of init_from, and {SCRATCH} has none; take it out")
    if keys["decode_mode"] not in _modes():
        raise UserError(f"{path}: decode_mode: {keys['decode_mode']!r} is not {_either(_modes())}")
    return keys


def _modes() -> list[str]:
    return list(dict.fromkeys(mode for modes in DECODE_MODES.values() for mode in modes))


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _resolve(path: Path, name: str, own: dict[str, Any], base: Sequence[Path], before: System | None) -> System:
    """Puts a system together from its keys and the one that it starts from."""
    mode, espnet = own["decode_mode"], own["decode_mode"] == ESPNET
    files = with_defaults([path] if espnet else [*base, path])
    config = read_configs(files)
    check_warmup(config.get("warmup"), f"{path}: ")
    objective = ESPNET if espnet else _section(path, config, "model_conf").get("objective")
    if objective not in DECODE_MODES:
        raise UserError(f"{path}: model_conf.objective: {objective!r} is not {_either(list(DECODE_MODES)[:-1])}")
    if mode not in DECODE_MODES[objective]:
        raise UserError(
            f"{path}: decode_mode: {mode}, but objective {objective} trains for {_either(DECODE_MODES[objective])}"
        )
    if espnet != (before.decode_mode == ESPNET if before else own["init_from"] == SCRATCH):
        raise UserError(
            f"{path}: init_from: {own['init_from']}: "
            + (f"ESPnet's baseline starts from {SCRATCH}" if espnet else f"write {PRETRAINED} or a system of this kind")
        )
    later = objective == "sot" and before is not None and before.objective != "align"  # stage 1, trained on
    kind = "sop" if later else objective
    stage = max(STAGES[kind], before.stage if before else 0)
    return System(
        name=name,
        init_from=own["init_from"],
        decode_mode=mode,
        trained=own.get("train", True),
        objective=objective,
        checkpoint=checkpoint_name(path, config),
        vocabulary="char" if espnet else str(config.get("ctc_vocab", "llm")),
        configs=tuple(files),
        inherits=str(read_yaml(path).get(DEFAULTS) or ""),
        stage=stage,
        folder=f"{FOLDERS[kind]}{name}",
        start=f"{before.folder}/{before.checkpoint}" if before else "",
        turn=before.turn + 1 if before and before.stage == stage else 0,
    )


def _section(path: Path, config: dict[str, Any], key: str) -> dict[str, Any]:
    section = config.get(key, {})
    if not isinstance(section, dict):
        raise UserError(f"{path}: {key}: expected keys and values")
    return section


def checkpoint_name(where: str | Path, config: dict[str, Any]) -> str:
    """The averaged checkpoint of a run: that of the first criterion by which epochs are compared.

    Args:
        where: The configuration, for the error message.
        config: With `best_model_criterion`.

    Returns:
        Name of the file, e.g. `valid.acc.ave.pth`.

    Raises:
        UserError: There is no criterion.
    """
    try:
        (phase, key, mode), *_ = config["best_model_criterion"]
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{where}: no best_model_criterion, here or in the base configuration; write, for example, "
            "best_model_criterion: [[valid, acc, max]]"
        ) from None
    if (
        phase not in ("train", "valid")
        or not isinstance(key, str)
        or not NAME.fullmatch(key)
        or mode not in ("min", "max")
    ):
        raise UserError(f"{where}: best_model_criterion: write, for example, [[valid, acc, max]]")
    return f"{phase}.{key}.ave.pth"
