"""A system with `train: false`: the model with the weights that it starts from, as a run that can be decoded."""

import argparse
import logging
from pathlib import Path

import torch
from espnet2 import __version__
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from espnet2.utils.yaml_no_alias_safe_dump import yaml_no_alias_safe_dump

from espnet2_sop.io.disk import sync
from espnet2_sop.io.files import atomic_path, atomic_write


def write_untrained(task, args: argparse.Namespace, checkpoint: str) -> None:
    """Writes the configuration and one checkpoint to the output folder; nothing is trained.

    Args:
        task: ESPnet2 task.
        args: Options of the training.
        checkpoint: Name that the checkpoint of a training would have, e.g. `valid.acc.ave.pth`.

    Raises:
        UserError: A key is wrong, a part cannot be loaded, or a checkpoint does not fit.
    """
    out = Path(args.output_dir)
    args.version, args.distributed = __version__, False
    set_all_random_seed(args.seed)
    model = task.build_model(args)
    for path in args.init_param:
        logging.info(f"Loading pretrained params from {path}")
        load_pretrained_model(path, model, args.ignore_init_mismatch)
    with atomic_write(out / "config.yaml") as f:
        yaml_no_alias_safe_dump(vars(args), f, indent=4, sort_keys=False)
    with atomic_path(out / checkpoint) as part:
        torch.save(model.state_dict(), part)
        sync(part)
    print(f"{out}: not trained (train: false), {checkpoint} has the weights of its start")
