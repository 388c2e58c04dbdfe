"""`espnet2-sop transcribe`: audio files to transcripts with a trained model."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from espnet2_sop.decoding.options import add_recognition_options, check_recognition_options
from espnet2_sop.io import provenance
from espnet2_sop.io.disk import written_to
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.locks import locked

FORMATS = ("text", "json", "seglst", "stm", "vtt", "srt")


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop transcribe",
        description="Writes what every talker says, in order of speaking start. OUT/ gets text, transcripts.json, "
        "hyp.seglst.json, hyp.stm, ID.vtt or ID.srt; without --out, the transcript of one recording is printed. An "
        "interrupted run goes on; a recording that cannot be read does not end it.",
    )
    parser.add_argument("audio", nargs="+", help="audio files of any format, sample rate and length; or wav.scp files")
    parser.add_argument(
        "--model",
        required=True,
        help="output folder of espnet2-sop train, folder or zip of espnet2-sop pack, or a Hugging Face id",
    )
    parser.add_argument("--revision", help="branch, tag or commit of the Hugging Face repository")
    parser.add_argument("--checkpoint", help="file in the model's folder (default: the packed or the averaged one)")
    parser.add_argument("--mode", choices=("ctc", "sot", "sop"), help="default: what the model was trained for")
    parser.add_argument("--out", help="folder to make; what is there of the same model and options is kept")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=["text"], help="one or several (default text)")
    parser.add_argument("--channel", type=int, help="index of the channel, from 0 (default: the mean of all)")
    parser.add_argument(
        "--max_seconds", type=float, default=30, help="longer recordings are cut at pauses (default 30)"
    )
    parser.add_argument("--pause_seconds", type=float, default=0.8, help="shortest pause for that (default 0.8)")
    add_recognition_options(parser)
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        help="of the LLM's frozen weights (default: that of the training)",
    )
    parser.add_argument("--overwrite", action="store_true", help="transcribe again what is there")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    check_recognition_options(args)
    from espnet2_sop.decoding.segmentation import check_limits
    from espnet2_sop.decoding.transcribe.recordings import find_recordings
    from espnet2_sop.packaging.locate import find_weights

    recordings = find_recordings(args.audio)
    if not args.out and len(recordings) * len(args.format) > 1:
        raise UserError("--out: several recordings or formats need a folder; without one, a single one is printed")
    check_limits(args.max_seconds, args.pause_seconds)
    weights = find_weights(args.model, args.revision, args.checkpoint)
    if not args.out:
        print_one(args, weights, recordings)
        return
    out = Path(args.out)
    with locked(out, "transcription", "give another --out"), written_to(out):
        from espnet2_sop.decoding.transcribe import formats
        from espnet2_sop.decoding.transcribe.run import Transcriber

        partial = out / provenance.PARTIAL
        start = fresh_start(out, weights, args)
        earlier = [] if start else done(partial)
        kinds = dict.fromkeys([*args.format, *formats.present(out, earlier)])
        transcriber = Transcriber(lambda: open_model(args, weights), recordings, args.channel, partial, start)
        if transcripts := transcriber():
            formats.remove_each(out, [name for name in earlier if name in transcriber.bad])
            formats.write(out, kinds, transcripts)
    report(transcriber.bad, len(recordings))


def print_one(args: argparse.Namespace, weights: Path, recordings: dict[str, str]) -> None:
    """Prints the transcript of one recording.

    Args:
        args: Options of the command.
        weights: Weights of the model.
        recordings: {id: path} of the one recording.
    """
    from espnet2_sop.decoding.transcribe import formats
    from espnet2_sop.decoding.transcribe.run import Transcriber

    transcriber = Transcriber(lambda: open_model(args, weights), recordings, args.channel)
    for transcript in transcriber():
        print(formats.render(args.format[0], transcript), end="")
    report(transcriber.bad, len(recordings))


def fresh_start(out: Path, weights: Path, args: argparse.Namespace) -> Callable[[], None] | None:
    """Checks whether the output folder can take the results of this model with these options.

    Args:
        out: Output folder.
        weights: Weights of the model.
        args: Options of the command.

    Returns:
        A function that empties the folder and writes the provenance, to be called before the first result; None if
        the folder has results of the same model and options, to which more are added.

    Raises:
        UserError: The folder has results of another model, or with other options, or files that are no transcripts.
    """
    from espnet2_sop.decoding.transcribe import formats

    partial = out / provenance.PARTIAL
    names = ("mode", "channel", "max_seconds", "pause_seconds", "beam", "no_repeat_ngram", "dtype")
    now = {
        "options": {name: getattr(args, name) for name in names},
        "files": {
            "model": provenance.fingerprint(weights),
            "config": provenance.fingerprint(weights.parent / "config.yaml"),
        },
    }
    changed = provenance.changes(out, now)
    files = any(path.name[0] != "." and path.name != provenance.NAME for path in out.iterdir())
    if changed and (files or done(partial)) and not args.overwrite:  # else nothing was made
        raise UserError(
            f"--out {out}: was made with something else ({provenance.listed(changed)}); give another folder or "
            "--overwrite"
        )
    if changed is None and files and not args.overwrite:
        raise UserError(f"--out {out}: is a folder with other files; give another one, or --overwrite")
    if changed == [] and not args.overwrite:
        return None

    def start() -> None:
        formats.remove(out, done(partial))
        partial.unlink(missing_ok=True)
        provenance.write_origin(out, now)

    return start


def done(partial: Path) -> list[str]:
    """Lists the recordings of which earlier calls have kept a result."""
    from espnet2_sop.decoding.hypotheses import read_partial
    from espnet2_sop.decoding.transcribe import formats

    return [name for name, _ in read_partial(partial, formats.is_row)]


def open_model(args: argparse.Namespace, weights: Path):
    """Loads the model.

    Args:
        args: Options of the command.
        weights: Weights of the model.

    Returns:
        A `Speech2Text`.
    """
    from espnet2_sop import Speech2Text
    from espnet2_sop.io.pretrained import quiet_libraries

    quiet_libraries()
    return Speech2Text.from_pretrained(
        weights.parent,
        checkpoint=weights.name,
        mode=args.mode,
        device="cuda" if args.ngpu else "cpu",
        dtype=args.dtype,
        num_beams=args.beam,
        no_repeat_ngram=args.no_repeat_ngram,
        max_seconds=args.max_seconds,
        pause_seconds=args.pause_seconds,
        batch_size=args.batch_size,
        batch_seconds=args.batch_seconds,
    )


def report(bad: dict[str, str], number: int) -> None:
    """Prints which recordings have no transcript.

    Args:
        bad: {id: reason} of these recordings.
        number: Number of all recordings.

    Raises:
        UserError: A recording has no transcript.
    """
    if len(bad) == number == 1:
        raise UserError(*bad.values())
    for reason in bad.values():
        print(f"espnet2-sop transcribe: no transcript: {reason}", file=sys.stderr)
    if bad:
        rest = "; the others are done" if len(bad) < number else ""
        raise UserError(f"{len(bad)} of {number} recordings have no transcript, see above{rest}")
