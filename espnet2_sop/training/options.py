"""Options of a training: configurations merged, options parsed, compared with those of the run that goes on."""

import argparse
import re
import tempfile
from pathlib import Path

from espnet2_sop.io import provenance
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_configs
from espnet2_sop.training import systems

# options that may change when a run goes on: they do not change what is learnt from which data
FREE = re.compile(
    "ngpu|num_workers|max_epoch|patience|keep_nbest_models|nbest_averaging_interval|log_.*|valid_batch_.*|dist_.*"
    "|multiprocessing_distributed|local_rank|use_(matplotlib|tensorboard|wandb)|wandb_.*|num_att_plot|output_dir|config"
    "|resume|dry_run|print_config|required|cache.*|.*_cache_size|unused_parameters|gradient_as_bucket_view|.*shape_file"
    "|bad_audio.*|nonfinite_limit"
)


def load_task(name: str):
    """Returns the ESPnet2 task `sop` or `asr`; importing it takes seconds."""
    if name == "asr":
        from espnet2_sop.training.espnet_sot import BaselineTask

        return BaselineTask
    from espnet2_sop.training.task import SOPTask

    return SOPTask


def merge_configs(argv: list[str]) -> tuple[argparse.Namespace, list[str], dict]:
    """Takes the options of this command out of the arguments and merges all `--config FILE`.

    Returns:
        The options (task, config, vocab_dir, warmup, and `train` of the configuration), the other arguments, and the
        merged configuration for ESPnet's parser.

    Raises:
        UserError: A file is missing or is not YAML with keys and values, or an option has a wrong value.
    """
    parser = argparse.ArgumentParser(prog="espnet2-sop train", add_help=False, allow_abbrev=False)
    parser.add_argument("--task", choices=("sop", "asr"), default="sop")
    parser.add_argument("--config", action="append", default=[])
    parser.add_argument("--vocab_dir", type=Path)
    parser.add_argument("--warmup", type=float)

    def refuse(message: str):
        raise UserError(message)

    parser.error = refuse
    known, rest = parser.parse_known_args(argv)
    config = read_configs(known.config)
    stated = config.pop("warmup", None)
    known.warmup = stated if known.warmup is None else known.warmup
    own = {key: config.pop(key, None) for key in systems.KEYS}
    known.train = own["train"] is not False
    if known.vocab_dir:
        config["ctc_vocab"] = str(known.vocab_dir / config.get("ctc_vocab", "llm"))
    return known, rest, config


def parse(task, argv: list[str], config: dict, name: str) -> argparse.Namespace:
    """Parses the task's options; a mistake in them is one line, not ESPnet's usage text.

    Args:
        task: ESPnet2 task.
        argv: Options.
        config: Configuration, which the options overrule.
        name: Name of the configuration in errors.

    Returns:
        The values of all options.

    Raises:
        UserError: An option or key is unknown, missing or has a value that cannot be.
    """
    import torch
    import yaml

    parser = task.get_parser()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as f:

        def refuse(message: str):
            raise UserError(message.replace(f.name, name))

        parser.error = refuse
        yaml.safe_dump(config, f)
        f.flush()
        args = parser.parse_args([*(["--config", f.name] if config else []), *argv])
    args.config = None  # the file is gone
    if args.print_config:
        return args
    if missing := [key for key in args.required if getattr(args, key) is None]:
        raise UserError(f"--{missing[0]} is missing; espnet2-sop train --help")
    if args.ngpu > 1 and not args.multiprocessing_distributed:
        raise UserError(f"--ngpu {args.ngpu}: several GPUs need --multiprocessing_distributed true")
    if args.ngpu > torch.cuda.device_count():
        raise UserError(f"--ngpu {args.ngpu}: torch sees {torch.cuda.device_count()} GPUs here; --ngpu 0 is CPU")
    return args


def go_on_or_start(args: argparse.Namespace) -> None:
    """Writes the provenance of a new run, or checks that a run which goes on has the same.

    Raises:
        UserError: The output folder holds a run of other options, data or initial weights.
    """
    paths = [path for path, _, _ in args.train_data_path_and_name_and_type]
    paths += [path.partition(":")[0] for path in args.init_param]
    now = {
        "options": {key: value for key, value in vars(args).items() if not FREE.fullmatch(key)},
        "files": {path: provenance.fingerprint(path) for path in paths},
    }
    from espnet2_sop.training.trainer import settle_checkpoint

    out = Path(args.output_dir)
    changed = provenance.changes(out, now) if args.resume and settle_checkpoint(out) else None
    if changed is None:
        provenance.write_origin(out, now)
    elif changed:
        raise UserError(
            f"{out} was trained otherwise: {provenance.listed(changed)}; remove the folder to train anew, or "
            f"{out / provenance.NAME} to go on all the same"
        )
