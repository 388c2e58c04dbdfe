"""`espnet2-sop analyse`: how the LLM changes its prompts."""

import argparse
from pathlib import Path


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop analyse",
        description="How the final text depends on the quality of the serialized output prompt: writes "
        "prompt_quality.json into every hypothesis folder and prints a summary in Markdown. With --prompt_use: whether "
        "the LLM reads its prompt at all.",
    )
    parser.add_argument("hyp", nargs="+", type=Path, metavar="HYP_DIR", help=".../SYSTEM/TEST_SET with text and prompt")
    reference = parser.add_mutually_exclusive_group(required=True)
    reference.add_argument("--data", type=Path, help="folder of data directories; takes the one named TEST_SET")
    reference.add_argument("--ref", type=Path, help="one data directory for every hypothesis folder")
    question = parser.add_mutually_exclusive_group()
    question.add_argument(
        "--control",
        metavar="SYSTEM",
        help="system that wrote without this prompt, in .../SYSTEM/TEST_SET",
    )
    question.add_argument(
        "--prompt_use",
        action="store_true",
        help="print cpWER with own prompts, the reference, those of other mixtures and none; HYP_DIR was also decoded "
        "with --sop_source reference, other and none into .../SYSTEM/prompt_use/SOURCE/TEST_SET",
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    from espnet2_sop.scoring.prompt.quality import analyse_folder, require_prompt
    from espnet2_sop.scoring.prompt.summary import prompt_document
    from espnet2_sop.scoring.prompt.use import prompt_use, use_document

    folders = [hyp.absolute() for hyp in args.hyp]
    for hyp in args.hyp:
        require_prompt(hyp)
    references = [args.ref or args.data / folder.name for folder in folders]
    if args.prompt_use:
        print(use_document([*map(prompt_use, references, args.hyp)]), end="")
        return
    records = [analyse_folder(ref, hyp, args.control) for ref, hyp in zip(references, args.hyp, strict=True)]
    print(prompt_document(records), end="")
