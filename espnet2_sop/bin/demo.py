"""`espnet2-sop demo`: a local web page that records, transcribes and shows the words of each talker."""

import argparse
import contextlib
import os
from pathlib import Path

from espnet2_sop.io.errors import UserError


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop demo",
        description="Opens a page on this machine: record or choose audio, see the talkers over the waveform, their "
        "prompt and what the LLM made of it. Audio stays in memory and is sent nowhere. Ctrl-C ends it.",
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
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--examples", type=Path, metavar="FOLDER", help="audio files to offer on the page")
    parser.add_argument(
        "--max_seconds", type=float, default=120, help="longest recording that is taken (default: %(default)s)"
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    if not 0 <= args.port <= 65535:
        raise UserError(f"--port {args.port}: ports go from 1 to 65535; 0 takes a free one")
    if not 1 <= args.max_seconds <= 3600:
        raise UserError(f"--max_seconds {args.max_seconds:g}: give 1 to 3600 seconds")
    from espnet2_sop.demo.server import DemoServer
    from espnet2_sop.demo.studio import Studio, find_examples
    from espnet2_sop.io.pretrained import quiet_libraries
    from espnet2_sop.packaging.locate import find_weights

    examples = find_examples(args.examples) if args.examples else []
    find_weights(args.model, args.revision)  # a mistake is found before torch is imported
    with DemoServer(args.host, args.port) as server:
        print(f"loading {args.model} ...", flush=True)
        from espnet2_sop.decoding.speech2text import Speech2Text
        from espnet2_sop.demo.model import Recogniser

        quiet_libraries()
        recogniser = Recogniser(Speech2Text.from_pretrained(args.model, args.revision, device=args.device))
        name = "/".join(Path(args.model).parts[-2:])
        server.studio = Studio(name, recogniser, recogniser.modes, args.device, args.max_seconds, examples)
        print(f"open {server.address}   (Ctrl-C ends it)", flush=True)
        if not server.is_local:
            print("everyone in the network can send audio here; recording works on this machine only", flush=True)
        serve(server)


def serve(server) -> None:
    """Answers until Ctrl-C; a recording that the model is busy with is finished, but not after a second Ctrl-C."""
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
        server.server_close()
        with contextlib.suppress(KeyboardInterrupt):
            if server.studio.turns.wait_until_idle(10):
                return
        os._exit(0)  # threads in the middle of torch cannot be ended in any other way
