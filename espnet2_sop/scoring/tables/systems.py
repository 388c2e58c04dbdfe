"""The systems of an experiment: their order in tables, what they are, and which are compared."""

from collections.abc import Iterable, Sequence

SYSTEMS = {  # rows in this order, each before its variants NAME_...; others after them by name
    "espnet_sot": "ESPnet's own Conformer and Transformer from filterbanks to characters",
    "espnet_sot_wavlm": "the same from features of a frozen WavLM",
    "ctc": "the serialized CTC heads alone, no LLM (stage 2)",
    "sot": "the LLM from the speech (stage 1)",
    "sot_continued": "the same, trained on for as many updates as stage 3: the control",
    "joint": "the LLM from prompt and speech, all trained at once",
    "sop": "the LLM from prompt and speech (stage 3)",
}
COMPARISONS = tuple(("sop", other) for other in ("sot_continued", "sot", "ctc", "joint", "espnet_sot"))


def rank(name: str, order: Sequence[str]) -> tuple[int, str]:
    """Sorts names by their place in a list; names that are not in it follow by name.

    Args:
        name: The name.
        order: The list.

    Returns:
        A key for `sorted`.
    """
    return (order.index(name) if name in order else len(order), name)


def base_system(name: str) -> str | None:
    """The system of `SYSTEMS` that a name is or is a variant of: `sop_large` is a variant of `sop`."""
    return max((system for system in SYSTEMS if f"{name}_".startswith(f"{system}_")), key=len, default=None)


def system_rank(name: str) -> tuple[int, str]:
    """Sorts systems as `SYSTEMS`, variants behind their base."""
    return (rank(base_system(name) or name, tuple(SYSTEMS))[0], name)


def pairs_to_compare(systems: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs to compare: `COMPARISONS`, and every variant with its base."""
    bases = ((system, base_system(system)) for system in systems)
    return [*COMPARISONS, *((name, base) for name, base in bases if base not in (None, name))]
