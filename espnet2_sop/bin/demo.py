"""`espnet2-sop demo`: a page to record, transcribe and see who said what; or its Hugging Face Space."""

import argparse
import os
import signal
import tempfile
from importlib.util import find_spec
from pathlib import Path

from espnet2_sop.io.errors import UserError

EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")
MOST_EXAMPLES = 24


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop demo",
        description="Serves a gradio page on this machine: record or upload audio, see the talkers over the waveform, "
        "their prompt and what the LLM made of it. Ctrl-C ends it.",
    )
    parser.add_argument(
        "--model",
        required=True,
        help="output folder of espnet2-sop train, folder or zip of espnet2-sop pack, or a Hugging Face id",
    )
    parser.add_argument("--revision", help="branch, tag or commit of the Hugging Face repository")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: %(default)s)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 lets the network in (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, help="(default: the first free one from 7860 on)")
    parser.add_argument("--examples", type=Path, metavar="FOLDER", help="audio files to offer on the page")
    parser.add_argument(
        "--max_seconds", type=float, default=120, help="longest recording that is taken (default: %(default)s)"
    )
    parser.add_argument(
        "--space", type=Path, metavar="FOLDER", help="write the page as a Hugging Face Space and serve nothing"
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    if args.port is not None and not 1 <= args.port <= 65535:
        raise UserError(f"--port {args.port}: ports go from 1 to 65535")
    if not 1 <= args.max_seconds <= 3600:
        raise UserError(f"--max_seconds {args.max_seconds:g}: give 1 to 3600 seconds")
    if find_spec("gradio") is None:
        raise UserError("the demo page needs gradio: pip install 'espnet2_sop[demo]'")
    examples = find_examples(args.examples) if args.examples else []
    if args.space:
        from espnet2_sop.demo.space import write_space

        return write_space(args.space, args.model, args.revision, args.max_seconds, examples)
    from espnet2_sop.packaging.locate import find_weights

    find_weights(args.model, args.revision)  # a mistake is found before torch is imported
    with tempfile.TemporaryDirectory(prefix="espnet2-sop-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # uploads are gone when the demo ends
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as by Ctrl-C
        serve(args, examples)


def serve(args: argparse.Namespace, examples: list[Path]) -> None:
    """Loads the model and answers until Ctrl-C.

    Args:
        args: The options.
        examples: Audio files to offer.
    """
    print(f"loading {args.model} ...", flush=True)
    from espnet2_sop.decoding.speech2text import Speech2Text
    from espnet2_sop.demo.app import build_app, launch
    from espnet2_sop.demo.model import Recogniser
    from espnet2_sop.io.pretrained import quiet_libraries

    quiet_libraries()
    recogniser = Recogniser(Speech2Text.from_pretrained(args.model, args.revision, device=args.device))
    name = "/".join(Path(args.model).parts[-2:])
    app = build_app(name, recogniser, recogniser.modes, args.max_seconds, examples)
    print(f"open {launch(app, args.host, args.port, args.max_seconds)}   (Ctrl-C ends it)", flush=True)
    app.block_thread()


def find_examples(folder: Path) -> list[Path]:
    """The audio files of a folder in order of their names, at most `MOST_EXAMPLES`.

    Raises:
        UserError: There is no such folder, or no audio in it.
    """
    if not folder.is_dir():
        raise UserError(f"--examples {folder}: no such folder")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and path.is_file())
    if not found:
        raise UserError(f"--examples {folder}: no audio in it ({', '.join(EXTENSIONS)})")
    return found[:MOST_EXAMPLES]
