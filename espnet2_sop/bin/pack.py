"""`espnet2-sop pack`: a trained model as one folder and one zip."""

import argparse
import os
import re
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_yaml
from espnet2_sop.io.pretrained import DTYPES
from espnet2_sop.packaging.locate import read_config


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop pack",
        description="Writes a folder and a zip beside it with the trained weights (safetensors), the LoRA adapters in "
        "the form of peft, the configuration, the tokenizer, the CTC vocabulary and a model card. The pretrained "
        "encoder and LLM are named, not carried, unless asked for.",
    )
    parser.add_argument("--run", required=True, help="output folder of espnet2-sop train, or an older package")
    parser.add_argument("--checkpoint", required=True, help="file in it, e.g. valid.acc.ave.pth")
    parser.add_argument("--out", required=True, help="folder to make; OUT.zip is made beside it")
    parser.add_argument("--include_pretrained", action="store_true", help="put encoder and LLM into the package")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default=DTYPES[0],
        help="of the trained weights in the files; bfloat16 is half as large and rounds them to 8 bits [%(default)s]",
    )
    card = parser.add_argument_group("model card")
    card.add_argument("--results", help="results.json whose rows of the system OUT is named after go into the card")
    card.add_argument(
        "--license",
        help="as the Hugging Face hub writes it, e.g. apache-2.0 "
        "[that of a Llama 2, 3, 3.1, 3.2, 3.3 or Gemma, else not stated]",
    )
    card.add_argument("--language", nargs="+", default=[], help="ISO 639 codes, e.g. en")
    card.add_argument("--training_data", help="a sentence about the corpora")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    run, out = Path(args.run), Path(os.path.abspath(args.out))
    if not (run / args.checkpoint).is_file():
        raise UserError(f"{run / args.checkpoint}: no such checkpoint; train this stage first")
    if args.license and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", args.license):
        raise UserError(f"--license {args.license}: not an identifier of the Hugging Face hub, such as apache-2.0")
    if "token_list" in read_yaml(run / "config.yaml"):
        raise UserError(f"--run {run}: trained with --task asr; ESPnet's own `python -m espnet2.bin.pack asr` packs it")

    config = read_config(run, packed=args.checkpoint.endswith(".safetensors"))

    from espnet2_sop.packaging.archive import write_zip
    from espnet2_sop.packaging.model_card import CardOptions, own, result_rows, title
    from espnet2_sop.packaging.pack import pack

    rows = tuple(result_rows(args.results, out.name)) if args.results else ()
    options = CardOptions(out.name, args.license, tuple(args.language), args.training_data, rows)
    parts = pack(run, args.checkpoint, config, out, args.include_pretrained, options, args.dtype)
    archive = out.with_name(f"{out.name}.zip")
    write_zip(out, archive)
    print(f"{args.out} and {args.out}.zip: {archive.stat().st_size / 2**20:.1f} MB")
    for part, name in own(config):
        print(
            f"The {part} is {name}, and its module is not in the package: whoever gets it has to import it before the "
            "model is loaded (docs/extending.md)."
        )
    for part in parts:
        if part.missing:
            print(
                f"The {title(part)} is a folder of this machine, {part.name}, and not in the package: whoever gets it "
                f"has to put it into {part.folder}. Pack with --include_pretrained to carry it."
            )
