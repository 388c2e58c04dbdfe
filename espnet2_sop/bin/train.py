"""`espnet2-sop train`: one stage of training with ESPnet's trainer."""

import argparse
import sys
import tempfile

from espnet2_sop.files import read_yaml

HELP = """usage: espnet2-sop train --config CONF.yaml --output_dir DIR [options of the ESPnet2 trainer]

Trains SOPModel with the objective of the configuration: sot (stage 1), ctc (stage 2), sop (stage 3), or joint
(everything at once).

  --config FILE                            given several times (conf/base.yaml, conf/train_sot.yaml) the files are
                                           merged, later ones win
  --output_dir DIR                         checkpoints, log and config.yaml; the same command resumes
  --train_data_path_and_name_and_type P,N,T   e.g. data/train/simulation.yaml,speech,mixture
  --valid_data_path_and_name_and_type P,N,T   e.g. dump/dev/mixtures.jsonl,speech,mixture
  --init_param FILE                        checkpoint of the earlier stage; all keys must match
  --ctc_vocab DIR                          made by espnet2-sop vocab
  --num_talkers S                          talker slots of the model (default 3)
  --ngpu N                                 0 is CPU
  --encoder_conf, --downsampler_conf, --separator_conf, --llm_conf, --prompt_conf, --model_conf
                                           keys of the parts, e.g. --model_conf tap=2

  --use_amp true                           bfloat16 on GPUs that have it; with llm_conf dtype=bfloat16 for large LLMs

  --help                                   this text
  --help_all                               every option of ESPnet's trainer (takes some seconds)
  --print_config                           every option with its default, as YAML
"""


def get_parser() -> argparse.ArgumentParser:
    """ESPnet's own parser; importing it takes seconds."""
    from espnet2_sop.task import SOPTask

    return SOPTask.get_parser()


def merge(base: dict, change: dict) -> dict:
    """`base` with the keys of `change`; dictionaries in both are merged in turn."""
    both = {k: merge(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v
            for k, v in change.items()}  # fmt: skip
    return {**base, **both}


def merge_configs(argv: list[str]) -> tuple[list[str], dict]:
    """Takes all `--config FILE` out of the arguments and merges the files.

    Returns:
        The other arguments, and the merged configuration.

    Raises:
        UserError: A file is missing or is not YAML with keys and values.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", action="append", default=[])
    known, rest = parser.parse_known_args(argv)
    config: dict = {}
    for path in known.config:
        config = merge(config, read_yaml(path))
    return rest, config


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    rest, config = merge_configs(["--help" if a == "--help_all" else a for a in argv])
    import yaml

    from espnet2_sop.task import SOPTask

    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as f:
        yaml.safe_dump(config, f)
        f.flush()
        SOPTask.main(cmd=["--config", f.name, *rest] if config else rest)
