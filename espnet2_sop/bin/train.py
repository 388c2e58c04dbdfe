"""`espnet2-sop train`: one stage of training with ESPnet's trainer."""

import argparse
import contextlib
import sys

from espnet2_sop.io.disk import written_to
from espnet2_sop.io.errors import UserError, without_traceback
from espnet2_sop.io.locks import locked
from espnet2_sop.training import systems
from espnet2_sop.training.options import go_on_or_start, load_task, merge_configs, parse
from espnet2_sop.training.schedule import derive_schedule

HELP = """usage: espnet2-sop train --config CONF.yaml --output_dir DIR [options of the ESPnet2 trainer]

Trains SOPModel with the objective of the configuration: align (stage 0), sot (stage 1), ctc (stage 2), sop (stage 3),
or joint (everything at once).

  --task sop|asr                           asr trains ESPnet's own SOT recogniser, the baseline (default sop)
  --config FILE                            given several times (conf/base.yaml, conf/train_sot.yaml) the files are
                                           merged, later ones win
  --output_dir DIR                         checkpoints, log and config.yaml; the same command goes on where it stopped
  --train_data_path_and_name_and_type P,N,T   e.g. data/train/simulation.yaml,speech,mixture
  --valid_data_path_and_name_and_type P,N,T   e.g. dump/dev/mixtures.jsonl,speech,mixture
  --init_param FILE                        checkpoint of the earlier stage; all keys must match, but for parts that
                                           this stage is the first to train
  --ctc_vocab DIR                          made by espnet2-sop vocab
  --vocab_dir DIR                          where the ctc_vocab of the configuration is (llm when it names none)
  --num_talkers S                          talker slots of the model (default 3)
  --cache DIR                              frozen parts are not computed: read what espnet2-sop cache has written to DIR
  --ngpu N                                 0 is CPU; several need --multiprocessing_distributed true
  --encoder, --separator, --llm            a part of the package, or module:Class of your own (docs/extending.md)
  --encoder_conf, --downsampler_conf, --separator_conf, --llm_conf, --prompt_conf, --model_conf
                                           keys of the parts, e.g. --model_conf tap=2

  --warmup X                               learning rate of scheduler onecyclelr: it rises in this share of all updates
                                           (below 1) or so many updates, then falls to nothing at the end; peak and
                                           length follow from optim_conf.lr, max_epoch, num_iters_per_epoch, accum_grad
  --lr_scale_conf                          e.g. encoder=0.1: a part learns with a tenth of the learning rate
  --single_talker_epochs N                 the first epochs have one talker in every mixture

  --bad_audio strict|skip                  a mixture whose audio cannot be read ends the training, or is left out and
                                           listed in DIR/bad_audio.tsv, up to --bad_audio_limit (0.01) of an epoch
  --nonfinite_limit N                      so many updates in a row without a finite gradient end the training (20)

  --use_amp true                           bfloat16 on GPUs that have it; with llm_conf dtype=bfloat16 for large LLMs

  --help                                   this text
  --help_all                               every option of ESPnet's trainer (takes some seconds)
  --print_config                           every option with its default, as YAML
"""


def mistake_of_child(error: Exception) -> UserError | None:
    """Finds the UserError that ended a process spawned by ESPnet in its traceback; None if there is none."""
    told = without_traceback(str(error))
    return UserError(told) if told != str(error) else None


def leads(args: argparse.Namespace) -> bool:
    """Tells whether this command manages the output folder; commands of the same training on other nodes do not."""
    from espnet2.train.distributed_utils import get_node_rank, get_rank

    rank_of = get_node_rank if args.multiprocessing_distributed else get_rank
    return not rank_of(args.dist_rank, args.dist_launcher)


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    known, rest, config = merge_configs(["--help" if a == "--help_all" else a for a in argv])
    task = load_task(known.task)
    from torch.multiprocessing import ProcessRaisedException

    args = parse(task, rest, config, " + ".join(known.config))
    if args.print_config:
        task.main(args=args)
        return
    args.scheduler_conf = derive_schedule(args, known.warmup)
    alone = contextlib.nullcontext()
    if leads(args):
        alone = locked(args.output_dir, "training", "give another --output_dir")
    from espnet2_sop.io.out_of_memory import advice, in_one_line
    from espnet2_sop.training.untrained import write_untrained

    with alone, written_to(args.output_dir):
        if not known.train:
            if leads(args):
                write_untrained(task, args, systems.checkpoint_name(" + ".join(known.config), vars(args)))
            return
        if leads(args):
            go_on_or_start(args)
        if getattr(args, "cache", None):
            from espnet2_sop.training.frame_cache.plan import read_caches

            read_caches(args)
        try:
            with in_one_line(args):
                task.main(args=args)
        except ProcessRaisedException as error:
            raise mistake_of_child(error) or advice(error, args) or error from None
