"""`espnet2-sop pack`: a trained model as one folder and one zip."""

import argparse
import json
import os
import shutil
from pathlib import Path

from espnet2_sop.errors import UserError
from espnet2_sop.files import atomic_write, open_text, read_yaml

CARD = """# {name}

Serialized Output Prompting model (arXiv 2509.04488), objective `{objective}`, {talkers} talker slots.

| part | what |
|---|---|
| speech encoder | `{encoder}`, not in this package |
| LLM | `{llm}`, not in this package |
| `model.safetensors` | what was trained: encoder, downsampler, Separator, CTC heads, projector, LoRA adapters |
| `config.yaml` | the configuration |
| `ctc_vocab/` | the vocabulary of the CTC heads |

    espnet2-sop decode --run THIS_FOLDER --checkpoint model.safetensors --mode {mode} --out OUT DATA_DIRECTORY

{results}
"""


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop pack",
        description="Writes a folder and a zip beside it with the trained weights (safetensors), the configuration, "
        "the CTC vocabulary and a model card. The pretrained encoder and LLM are named, not carried.",
    )
    parser.add_argument("--run", required=True, help="output folder of espnet2-sop train")
    parser.add_argument("--checkpoint", required=True, help="file in it, e.g. valid.acc.ave.pth")
    parser.add_argument("--results", help="results.json whose rows of this model go into the card")
    parser.add_argument("--out", required=True, help="folder to make; OUT.zip is made beside it")
    return parser


def result_rows(results: str | None, system: str) -> str:
    """Markdown table of the scores of one system."""
    if not results or not Path(results).is_file():
        return ""
    with open_text(results) as f:
        rows = [row for row in json.load(f) if row["system"] == system]
    lines = [f"| {row['test_set']} | {row['cpwer']:.1f} | {row['order_wer']:.1f} |" for row in rows]
    return "\n".join(["| test set | cpWER % | order WER % |", "|---|---|---|", *lines])


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    run, out = Path(args.run), Path(args.out)
    if not (run / args.checkpoint).is_file():
        raise UserError(f"{run / args.checkpoint}: no such checkpoint; train this stage first")
    import yaml
    from safetensors.torch import save_file

    from espnet2_sop.assembly import read_state

    config = read_yaml(run / "config.yaml")
    if "ctc_vocab" not in config:
        raise UserError(f"--run {run}: trained with --task asr; ESPnet's own `python -m espnet2.bin.pack asr` packs it")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(config["ctc_vocab"], part / "ctc_vocab")
    config |= {"ctc_vocab": "ctc_vocab", "init_param": [], "output_dir": None}
    with atomic_write(part / "config.yaml") as f:
        yaml.safe_dump(config, f, sort_keys=False)
    state = read_state(run / args.checkpoint)
    save_file({k: v.clone().contiguous() for k, v in state.items()}, part / "model.safetensors")
    objective = config["model_conf"]["objective"]
    with atomic_write(part / "README.md") as f:
        f.write(
            CARD.format(
                name=out.name,
                objective=objective,
                mode="sop" if objective == "joint" else objective,
                talkers=config["num_talkers"],
                encoder=config["encoder_conf"].get("pretrained", config["encoder"]),
                llm=config["llm_conf"]["pretrained"],
                results=result_rows(args.results, out.name),
            )
        )
    shutil.rmtree(out, ignore_errors=True)
    os.replace(part, out)
    archive = shutil.make_archive(str(out.with_name(f".{out.name}")), "zip", out.parent, out.name)
    os.replace(archive, f"{out}.zip")
    print(f"{out} and {out}.zip: {Path(f'{out}.zip').stat().st_size / 2**20:.1f} MB")
