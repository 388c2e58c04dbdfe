"""`espnet2-sop decode`: hypotheses of a trained model for data directories."""

import argparse
import contextlib
import os
from pathlib import Path

from espnet2_sop.decoding.options import add_recognition_options, check_recognition_options
from espnet2_sop.io import provenance
from espnet2_sop.io.disk import written_to
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_yaml
from espnet2_sop.io.locks import locked
from espnet2_sop.io.out_of_memory import within_memory


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop decode",
        description="Decodes data directories. For each, OUT/<name>/ gets text, hyp.seglst.json, speed.json and, "
        "with CTC, prompt, onsets and prompt.ctm (the words of the prompt with the times of their CTC peaks). A "
        "directory that was decoded so already is skipped, an interrupted one goes on.",
    )
    parser.add_argument("--run", required=True, help="output folder of espnet2-sop train")
    parser.add_argument("--checkpoint", default="valid.acc.ave.pth", help="file in it (default valid.acc.ave.pth)")
    parser.add_argument(
        "--mode",
        choices=("ctc", "sot", "sop", "espnet"),
        required=True,
        help="heads alone, LLM, LLM with prompt, or ESPnet's SOT baseline",
    )
    parser.add_argument(
        "--sop_source",
        choices=("ctc", "reference", "other", "none"),
        help="take the prompt from elsewhere than in training; reference is an oracle, an upper bound for prompts; "
        "other is what the heads wrote for another mixture of the set",
    )
    parser.add_argument("--out", required=True, help="folder of the system, e.g. exp/decode/sop")
    add_recognition_options(parser)
    parser.add_argument(
        "--draft",
        choices=("auto", "none"),
        default="auto",
        help="auto: greedy decoding verifies the output of the CTC heads where they are trained, several tokens in a "
        "pass of the LLM (default); none: a pass for every token; the output is the same",
    )
    parser.add_argument(
        "--bad_audio",
        choices=("strict", "skip"),
        default="strict",
        help="a mixture whose audio cannot be read ends the decoding (default), or gets no hypothesis and is listed in "
        "bad_audio.tsv; scoring counts its words as deletions",
    )
    parser.add_argument(
        "--mixtures", type=int, metavar="N", help="decode N mixtures of each set, always the same ones (default: all)"
    )
    parser.add_argument("--overwrite", action="store_true", help="decode again what is there")
    parser.add_argument("data", nargs="+", help="data directories with mixtures.jsonl")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    check_recognition_options(args)
    if args.mixtures is not None and args.mixtures < 1:
        raise UserError(f"--mixtures {args.mixtures}: must be 1 or more")
    if args.sop_source == "other" and args.mode != "sop":
        raise UserError(f"--sop_source other: --mode {args.mode} reads no prompt; use --mode sop")
    folders = output_folders(args.data, Path(args.out))
    jobs = [job for data, out in folders.items() if (job := job_to_do(args, data, out))]
    if not jobs:
        return
    import torch

    from espnet2_sop.decoding.decoder import decode_set

    if args.ngpu and not torch.cuda.is_available():
        raise UserError(f"--ngpu {args.ngpu}: torch sees no GPU here; use --ngpu 0")
    with contextlib.ExitStack() as alone:
        for _, out, _ in jobs:
            alone.enter_context(locked(out, "decoding", "give another --out"))
        decoder = build_decoder(args, "cuda" if args.ngpu else "cpu")
        for data, out, made_from in jobs:
            if made_from:
                for name in ("text", provenance.PARTIAL):
                    (out / name).unlink(missing_ok=True)
                provenance.write_origin(out, made_from)
            with written_to(out), within_memory("--batch_size", "--batch_seconds"):
                skips = args.bad_audio == "skip"
                decode_set(decoder, data, out, args.batch_seconds, args.batch_size, skips, args.mixtures)


def output_folders(data: list[str], out: Path) -> dict[Path, Path]:
    """Chooses a folder for the hypotheses of every data directory.

    Args:
        data: Data directories.
        out: Folder of the system.

    Returns:
        {data directory: folder for its hypotheses}.

    Raises:
        UserError: Two data directories have the same name, or one has none.
    """
    named: dict[str, Path] = {}
    for path in map(Path, data):
        name = Path(os.path.abspath(path)).name  # `.` has a name, too; a link keeps its own
        if not name:
            raise UserError(f"{path}: has no name for a folder in --out {out}; give a data directory")
        if name in named:
            raise UserError(
                f"{named[name]} and {path}: both would be written to {out / name}; call again with another --out"
            )
        named[name] = path
    return {path: out / name for name, path in named.items()}


def job_to_do(args: argparse.Namespace, data: Path, out: Path) -> tuple[Path, Path, dict | None] | None:
    """Finds out whether a data directory has to be decoded, and whether from its start.

    Args:
        args: Options of the command.
        data: Data directory.
        out: Folder for its hypotheses.

    Returns:
        None if it was decoded with the same checkpoint, mixtures and options; otherwise (data, out, provenance), where
        the provenance is None if an interrupted decoding goes on, and the new one if `out` is written anew.

    Raises:
        UserError: There are no mixtures, or no checkpoint.
    """
    if not (data / "mixtures.jsonl").is_file():
        raise UserError(f"{data}: no mixtures.jsonl here; give a data directory made by espnet2-sop prepare")
    checkpoint = Path(args.run) / args.checkpoint
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: no such checkpoint; train the model first, or name another with --checkpoint")
    now = {
        "options": {key: getattr(args, key) for key in ("mode", "sop_source", "beam", "no_repeat_ngram", "mixtures")},
        "files": {
            "checkpoint": provenance.fingerprint(checkpoint),
            "mixtures": provenance.fingerprint(data / "mixtures.jsonl"),
        },
    }
    changed = provenance.changes(out, now)
    if args.overwrite or changed or changed is None:
        if changed and (out / "text").is_file():
            print(f"{out}: is decoded anew: {provenance.listed(changed)}")
        return data, out, now
    if (out / "text").is_file() and not (args.bad_audio == "strict" and (out / "bad_audio.tsv").is_file()):
        print(f"{out}: decoded already")
        return None
    return data, out, None


def build_decoder(args: argparse.Namespace, device: str):
    """Loads the decoder of a run.

    Args:
        args: Options of the command.
        device: Name of a torch device.

    Returns:
        A `Decoder`, or a `BaselineDecoder` for --mode espnet.

    Raises:
        UserError: The run was not trained for the mode, or the name of --out does not say that the prompt is an oracle.
    """
    of_espnet = "token_list" in read_yaml(Path(args.run) / "config.yaml")
    if of_espnet != (args.mode == "espnet"):
        raise UserError(f"--mode {args.mode}: {args.run} was trained {'with' if of_espnet else 'without'} --task asr")
    if of_espnet:
        from espnet2_sop.decoding.espnet_sot import BaselineDecoder

        return BaselineDecoder(args.run, args.checkpoint, args.beam, device)
    from espnet2_sop.decoding.decoder import Decoder, load_run, require_mode, require_named_oracle

    model = load_run(args.run, args.checkpoint, device)
    require_mode(model, args.mode)
    if args.sop_source:
        model.prompt.read_from(args.sop_source)
    require_named_oracle(model, args.mode, Path(args.out))
    return Decoder(model, args.mode, args.beam, args.draft == "auto", args.no_repeat_ngram)
