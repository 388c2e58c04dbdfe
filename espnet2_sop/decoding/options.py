"""Options of the commands that recognise speech: beam, batches and device."""

import argparse

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.batching import check_batch_limits


def add_recognition_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--beam`, `--no_repeat_ngram`, `--batch_size`, `--batch_seconds` and `--ngpu`."""
    parser.add_argument("--beam", type=int, default=1, help="beam size; 1 is greedy (default)")
    parser.add_argument(
        "--no_repeat_ngram",
        type=int,
        default=0,
        metavar="N",
        help="the LLM does not write N tokens in a row twice, which ends loops; 0 forbids nothing (default)",
    )
    parser.add_argument("--batch_size", type=int, default=32, help="most mixtures in a batch (default 32)")
    parser.add_argument(
        "--batch_seconds", type=float, default=160, help="most seconds of audio in a batch (default 160)"
    )
    parser.add_argument("--ngpu", type=int, default=0, help="0 is CPU (default)")


def check_recognition_options(args: argparse.Namespace) -> None:
    """Refuses values out of range.

    Raises:
        UserError: An option is out of range; the message names it.
    """
    if args.beam < 1:
        raise UserError(f"--beam {args.beam}: must be 1 or more")
    if args.no_repeat_ngram < 0:
        raise UserError(f"--no_repeat_ngram {args.no_repeat_ngram}: must be 0 or more")
    check_batch_limits(args.batch_size, args.batch_seconds)
