"""`espnet2-sop cache`: computes the output of the frozen parts of a training once, not in every epoch."""

import sys

from espnet2_sop.io.errors import UserError

HELP = """usage: espnet2-sop cache --cache DIR [all other options of the espnet2-sop train that shall read it]

Computes what the frozen parts of a training give for its fixed sets of mixtures, and keeps it in DIR:

  frames   output of the encoder, or of downsampling block model_conf.tap where the downsampler is frozen, too
  sop      output of the CTC heads, which stage 3 reads as the serialized output prompt

The same command goes on where it was interrupted. Trainings that share the frozen parts share their caches. What is
trained, or drawn anew in every epoch (simulation.yaml), is not cached: the training computes it.

  --cache DIR                    folder of all caches; each has a folder of its own in it
  --cache_kinds frames sop       which of the two [both]; without sop the prompt is computed anew in every step
  --cache_dtype float32|bfloat16 what frames are cached as [llm_conf.dtype]
  --valid_batch_bins N           samples in a batch, with padding [batch_bins]
  --num_workers N                processes that mix
"""


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    from espnet2_sop.training.options import load_task, merge_configs, parse

    known, rest, config = merge_configs(argv)
    if known.task != "sop":
        raise UserError(f"--task {known.task}: only trainings of --task sop read caches")
    args = parse(load_task(known.task), rest, config, " + ".join(known.config))
    if not args.cache:
        raise UserError("--cache is missing: the folder in which caches are kept")
    from espnet2_sop.io.out_of_memory import in_one_line
    from espnet2_sop.training.frame_cache.fill import fill

    with in_one_line(args):
        fill(args)
