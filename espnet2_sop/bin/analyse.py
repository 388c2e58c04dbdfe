"""`espnet2-sop analyse`: how the LLM changes its prompts."""

import argparse
from pathlib import Path


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop analyse",
        description="How the final text depends on the quality of the serialized output prompt: writes "
        "prompt_quality.json into every hypothesis folder and prints a summary in Markdown.",
    )
    parser.add_argument("hyp", nargs="+", type=Path, metavar="HYP_DIR", help=".../SYSTEM/TEST_SET with text and prompt")
    reference = parser.add_mutually_exclusive_group(required=True)
    reference.add_argument("--data", type=Path, help="folder of data directories; takes the one named TEST_SET")
    reference.add_argument("--ref", type=Path, help="one data directory for every hypothesis folder")
    parser.add_argument(
        "--control",
        metavar="SYSTEM",
        help="system that wrote without this prompt, in .../SYSTEM/TEST_SET",
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    from espnet2_sop.scoring.prompt.quality import analyse_folder, require_prompt
    from espnet2_sop.scoring.prompt.summary import prompt_document

    folders = [hyp.absolute() for hyp in args.hyp]
    for hyp in args.hyp:
        require_prompt(hyp)
    records = [
        analyse_folder(args.ref or args.data / folder.name, hyp, args.control)
        for hyp, folder in zip(args.hyp, folders, strict=True)
    ]
    print(prompt_document(records), end="")
