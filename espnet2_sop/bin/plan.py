"""`espnet2-sop plan`: parameters, memory and hours of trainings, computed before they are run."""

import argparse
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_configs
from espnet2_sop.io.json_shapes import misfit

GPUS = {  # name: memory in GB, peak of dense bfloat16 products in TFLOP/s (data sheets)
    "RTX 4090": (24, 165),
    "A100": (40, 312),
    "H100": (80, 989),
}
NEEDED = ("encoder_conf", "llm_conf", "model_conf", "max_epoch", "num_iters_per_epoch", "batch_bins")
SHAPE = {
    **dict.fromkeys(("encoder_conf", "llm_conf"), {"pretrained": str}),
    "model_conf": {"objective": str, "trainable": [str]},
    **dict.fromkeys(("max_epoch", "num_iters_per_epoch", "batch_bins"), int),
}
ADAPTER = {"r": int, "target_modules": [str]}
OPTIONAL = {  # of these the ones that are there are checked
    **dict.fromkeys(("encoder", "separator", "llm"), str),
    "num_talkers": int,
    "encoder_conf": {"gradient_checkpointing": bool},
    "prompt_conf": {"sop_source": str},
    "llm_conf": {"gradient_checkpointing": bool, "adapters": {"sot": ADAPTER, "sop": ADAPTER}},
    "model_conf": {"tap": int, "ctc_weight": (float, None), "ctc_stop_gradient": bool},
}


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop plan",
        description="Prints Markdown tables of parameters, FLOP, memory and hours of trainings, computed from their "
        "configurations, not measured. Dimensions of the usual models are known, so gated ones need no access.",
    )
    parser.add_argument("config", nargs="+", help="files of one training joined by +, e.g. base.yaml+train_sot.yaml")
    for name, default, text in (
        ("seconds", 16.0, "length of a mixture"),
        ("tokens", 6.0, "LLM tokens of all talkers per second of mixture"),
        ("utilisation", 0.35, "share of a GPU's peak that training reaches"),
    ):
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{text} (default %(default)g)")
    return parser


def read_training(files: str) -> tuple[str, dict]:
    """Name and merged configuration of files joined by `+`."""
    paths = files.split("+")
    config = read_configs(paths)
    if missing := [key for key in NEEDED if key not in config]:
        raise UserError(f"{files}: no {missing[0]}; give all files of the training, joined by +")
    if problem := misfit(config, SHAPE) or misfit(config, present(OPTIONAL, config)):
        raise UserError(f"{files}: {problem}")
    return " ".join(Path(path).stem for path in paths if Path(path).stem != "base"), config


def present(shape: dict, value: object) -> dict:
    """Reduces a shape to the keys of a value, so that optional keys are checked where they are given.

    Args:
        shape: JSON shape (see `misfit`), a dict.
        value: Value that will be checked.

    Returns:
        The shape without the keys that the value does not have.
    """
    known = value if isinstance(value, dict) else {}
    return {k: present(v, known[k]) if isinstance(v, dict) else v for k, v in shape.items() if k in known}


def report(plans: list, about) -> str:
    """Renders the table of all trainings.

    Args:
        plans: A `Plan` for each training.
        about: The `Assumptions` on which they rest.

    Returns:
        Markdown.
    """
    head = ["training", "parameters", "trained", "GFLOP per second", "fixed GB", "GB per mixture"]
    fits = [f"{memory} GB" for memory, _ in GPUS.values()]
    hours = [f"{name} h" for name in GPUS]
    rows = [
        [
            plan.name,
            f"{plan.parameters / 1e6:,.1f} M",
            f"{plan.trained / 1e6:,.1f} M",
            f"{plan.flop / 1e9:,.0f}",
            f"{plan.fixed_bytes / 1e9:.1f}",
            f"{plan.mixture_bytes / 1e9:.2f}",
            *(str(plan.batch(memory) or "no") for memory, _ in GPUS.values()),
            *(f"{plan.hours(peak, about.utilisation):,.0f}" for _, peak in GPUS.values()),
        ]
        for plan in plans
    ]
    columns = [*head, *fits, *hours]
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        [
            "Computed, not measured: expect errors of tens of percent in memory and hours.",
            "",
            *(f"| {' | '.join(line)} |" for line in lines),
            "",
            f"Mixtures of {about.seconds:g} s with {about.tokens:g} tokens a second; columns in GB: mixtures in a",
            "batch that fit; hours of the whole training on one GPU that reaches "
            f"{100 * about.utilisation:g} % of its bfloat16 peak ("
            + ", ".join(f"{name} {peak} TFLOP/s" for name, (_, peak) in GPUS.items())
            + ").",
        ]
    )


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    if not (0 < args.seconds < 1e6 and 0 < args.tokens < 1e6 and 0 < args.utilisation <= 1):
        raise UserError("--seconds and --tokens must be above 0, --utilisation above 0 and at most 1")
    trainings = [read_training(files) for files in args.config]
    from espnet2_sop.planning.cost import Assumptions, make_plan

    about = Assumptions(args.seconds, args.tokens, args.utilisation)
    print(report([make_plan(name, config, about) for name, config in trainings], about))
