"""`espnet2-sop NAME ...`: the entry of all commands; only the modules of the command are imported."""

import contextlib
import importlib
import os
import sys

from espnet2_sop import __version__
from espnet2_sop.io import disk
from espnet2_sop.io.errors import UserError, printable

COMMANDS = {
    "prepare": "corpora of all kinds to mixture manifests and data directories",
    "format": "filter a data directory by length, write shapes, check it",
    "validate": "check data directories and print every problem with its file and line",
    "vocab": "the vocabulary of the serialized CTC heads",
    "stats": "durations, overlap and token statistics of the formatted data",
    "systems": "the systems of a recipe: what each starts from, how it is decoded, in which order they are trained",
    "plan": "parameters, memory and hours of trainings before they are run, computed",
    "cache": "compute once what the frozen parts of a training give for its mixtures",
    "train": "train one stage (sot, ctc, sop or joint) with ESPnet's trainer",
    "decode": "decode data directories with a trained model",
    "transcribe": "audio files to transcripts, subtitles and other formats, with a trained model",
    "score": "cpWER and the other word error rates, talker counts and breakdowns of hypotheses",
    "analyse": "what the LLM makes of its prompts: repaired and broken words, quality against final cpWER",
    "table": "gather all scores into RESULTS.md; add an experiment to a file of results",
    "compare": "paired bootstrap between two systems on one test set",
    "demo": "a web page: speak, and see who said what; or its Hugging Face Space",
    "report": "one HTML file of an experiment: results, curves, examples to listen to",
    "pack": "put a trained model into one folder and one zip",
    "unpack": "make of a packed model what a training starts from",
    "upload": "put a packed model on the Hugging Face hub",
}


def usage() -> str:
    """The help text: one line for every command."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "usage: espnet2-sop COMMAND [options]   (espnet2-sop COMMAND --help)\n\n" + "\n".join(lines)


def run(name: str, argv: list[str]) -> int:
    """Runs one command and turns a user's mistake into one line on stderr.

    Args:
        name: Command, a key of `COMMANDS`.
        argv: Its options.

    Returns:
        Exit status: 0, 1 for a user's mistake or a file that cannot be read or written, 130 when interrupted.
    """
    module = importlib.import_module(f"espnet2_sop.bin.{name}")
    try:
        module.main(argv)
        sys.stdout.flush()
    except UserError as error:
        return refused(name, str(error))
    except BrokenPipeError:  # the reader of the output has ended, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # mostly of a file that the user has named
        if (told := disk.one_line(error)) is None:
            raise
        return refused(name, told)
    except KeyboardInterrupt:
        print(f"espnet2-sop {name}: interrupted", file=sys.stderr)
        return 130
    return 0


def refused(name: str, told: str) -> int:
    """Prints in one line why a command has ended.

    Args:
        name: Command.
        told: Reason.

    Returns:
        Exit status, 1.
    """
    with contextlib.suppress(OSError):  # the log may be on the disk that is full
        print(printable(f"espnet2-sop {name}: error: {told}"), file=sys.stderr, flush=True)
    return 1


def main() -> None:
    """Runs the command that `sys.argv` names and exits with its status."""
    argv = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):  # file names may hold bytes that are no characters
        stream.reconfigure(errors="backslashreplace")
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
    elif argv[0] == "--version":
        print(f"espnet2-sop {__version__}")
    elif argv[0] in COMMANDS:
        sys.exit(run(argv[0], argv[1:]))
    else:
        print(f"espnet2-sop: error: no command {argv[0]!r}; one of: {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
