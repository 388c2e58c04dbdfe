"""`prompt_quality.json`: how the final text depends on the quality of the serialized output prompt (SOP).

Prompt and final text are scored alike, by cpWER. Rates, shares and intervals are in percent, times in ms. See
`error_propagation` for what happens to single words and `onset_error` for the talkers' starts.

A mixture that is hard for the heads is also hard for the LLM. A correlation alone therefore does not show that the LLM
follows its prompt. The control is a system that wrote its text without this prompt, such as `sot_continued`: the same
analysis with its text as the final one shows what difficulty explains.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write, read_kaldi
from espnet2_sop.scoring.alignment import align
from espnet2_sop.scoring.breakdown import summary
from espnet2_sop.scoring.prompt.correlation import correlations
from espnet2_sop.scoring.prompt.error_propagation import OUTCOMES, count_propagation, summarize_propagation
from espnet2_sop.scoring.prompt.input import PromptedMixture, read_prompts
from espnet2_sop.scoring.prompt.onset_error import onset_errors, summarize_onsets
from espnet2_sop.scoring.rates import ErrorCount
from espnet2_sop.scoring.record import json_lines, read_json
from espnet2_sop.scoring.score import score_set, talker_words
from espnet2_sop.text.serialized import NORMALIZATION

Record = dict[str, Any]
NAME = "prompt_quality.json"
NUMBER = (float, None)
LIMITS = ([float, float], None)
RATE = {"rate": NUMBER, "interval": LIMITS}
CORRELATION = {"value": NUMBER, "interval": LIMITS}
BIN = {
    **dict.fromkeys(("low", "mixtures", "words"), int),
    **{"high": (int, None), "prompt_rate": NUMBER, "final_rate": NUMBER, "final_interval": LIMITS},
}
WORDS = {
    **dict.fromkeys(("words", "inserted_kept", "inserted_removed"), int),
    **dict.fromkeys(("repair_rate", "break_rate", "copy_rate"), NUMBER),
    **{"shares": dict.fromkeys(OUTCOMES, NUMBER), "intervals": {str: LIMITS}},
}
ONSETS = {
    **dict.fromkeys(("talkers", "missed"), int),
    **dict.fromkeys(("bias", "median", "mean_absolute", "percentile_90", "within_200_ms"), NUMBER),
    "intervals": {str: LIMITS},
}
FOLLOWED = {
    "final": RATE,
    "correlation": {"pearson": CORRELATION, "spearman": CORRELATION},
    "by_prompt_quality": [BIN],
    "words": {"all": WORDS, "overlapped": (WORDS, None), "single": (WORDS, None)},
}
SHAPE = {
    **dict.fromkeys(("system", "test_set", "reference", "normalization"), str),
    **{"mixtures": int, "word_times": (str, None), "prompt": RATE, "per_mixture": object},
    **FOLLOWED,
    "onset_error": ({"by_slot": {str: ONSETS}}, None),
    "control": ({"system": str, **FOLLOWED}, None),
}
EDGES = (0, 10, 25, 50, 100)  # of the prompt's cpWER in percent; the bins are 0, (0, 10], ..., and above 100


def analyse_folder(ref: Path, hyp: Path, control: str | None = None) -> Record:
    """Analyses the prompts of a hypothesis folder and writes `prompt_quality.json` into it.

    Args:
        ref: Data directory; its name is the name of the test set.
        hyp: Folder `.../<system>/<test_set>` with `text` and `prompt`; `prompt.ctm` and `onsets` are used if there.
        control: Another system of the same experiment, `.../<control>/<test_set>`.

    Returns:
        What was written.

    Raises:
        UserError: The folder has no prompt, a file is missing or malformed, or files do not fit each other.
    """
    require_prompt(hyp)
    references = read_kaldi(ref / "text")
    prompt = cpwer_counts(references, hyp / "prompt")
    final = cpwer_counts(references, hyp / "text")
    mixtures = read_prompts(ref, hyp)
    timed = all(mixture.times is not None for mixture in mixtures.values())
    record: Record = {
        "system": Path(os.path.abspath(hyp)).parent.name,
        "test_set": Path(os.path.abspath(ref)).name,
        "reference": os.path.relpath(ref, hyp),
        "mixtures": len(mixtures),
        "normalization": NORMALIZATION,
        "word_times": "prompt.ctm" if timed else None,
        "prompt": summary(list(prompt.values())),
        **follow_prompt(mixtures, prompt, hyp / "text", final),
        "onset_error": onset_record(mixtures.values()),
        "control": None,
        "per_mixture": {
            key: {"prompt": [*asdict(prompt[key]).values()], "final": [*asdict(final[key]).values()]}
            for key in mixtures
        },
    }
    if control is not None:
        path = hyp.absolute().parent.parent / control / hyp.name / "text"
        counts = cpwer_counts(references, path)
        record["control"] = {"system": control, **follow_prompt(mixtures, prompt, path, counts)}
    write_record(hyp / NAME, record)
    return record


def require_prompt(hyp: Path) -> None:
    """Refuses a folder that was decoded without prompt."""
    if not (hyp / "prompt").is_file():
        missing = "was decoded without a prompt" if (hyp / "text").is_file() else "has no hypotheses"
        raise UserError(f"{hyp}: {missing} (no file `prompt`); give folders of systems with one, such as sop")


def cpwer_counts(references: Mapping[str, str], path: Path) -> dict[str, ErrorCount]:
    """cpWER errors of a serialized text.

    Args:
        references: {mixture id: serialized reference}.
        path: Kaldi-style text.

    Returns:
        {mixture id: errors}.

    Raises:
        UserError: The file is missing or malformed, or its ids do not fit.
    """
    try:
        return {key: counts["cpwer"] for key, counts in score_set(references, read_kaldi(path)).counts.items()}
    except UserError as error:
        raise UserError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def follow_prompt(
    mixtures: Mapping[str, PromptedMixture],
    prompt: Mapping[str, ErrorCount],
    path: Path,
    final: Mapping[str, ErrorCount],
) -> Record:
    """How one text depends on the prompts.

    Args:
        mixtures: Prompts and references.
        prompt, final: Errors of each mixture.
        path: The text whose errors are `final`.

    Returns:
        "final", "correlation", "by_prompt_quality" and "words" of `prompt_quality.json`.
    """
    texts = read_kaldi(path)
    words = []
    for key, mixture in mixtures.items():
        aligned = align(mixture.ref, talker_words(texts.get(key, "")))
        words.append(count_propagation(mixture.ref, mixture.prompt, aligned, mixture.spans, mixture.times))
    regions = ("all", "overlapped", "single")
    pairs = [(prompt[key], final[key]) for key in mixtures if prompt[key].words]
    return {
        "final": summary(list(final.values())),
        "correlation": correlations([p.rate for p, _ in pairs], [f.rate for _, f in pairs]),
        "by_prompt_quality": by_prompt_quality(pairs),
        "words": {
            region: summarize_propagation([counts[region] for counts in words]) if region in words[0] else None
            for region in regions
        },
    }


def by_prompt_quality(pairs: Sequence[tuple[ErrorCount, ErrorCount]]) -> list[Record]:
    """Error rates of prompt and final text where the prompt is good, middling or bad.

    Args:
        pairs: Errors of prompt and final text of each mixture with words.

    Returns:
        A record for each bin that has mixtures, low < cpWER of the prompt <= high in percent; the first bin holds the
        prompts without error, the last has no upper end.
    """
    bins = [(EDGES[0], EDGES[0]), *zip(EDGES, (*EDGES[1:], None), strict=True)]
    rows = []
    for low, high in bins:
        inside = [pair for pair in pairs if in_bin(100 * pair[0].errors / pair[0].words, low, high)]
        if inside:
            prompt, final = (summary(list(side)) for side in zip(*inside, strict=True))
            rows.append({
                "low": low,
                "high": high,
                "mixtures": len(inside),
                "words": prompt["words"],
                "prompt_rate": prompt["rate"],
                "prompt_interval": prompt["interval"],
                "final_rate": final["rate"],
                "final_interval": final["interval"],
            })  # fmt: skip
    return rows


def in_bin(rate: float, low: float, high: float | None) -> bool:
    """Whether a rate is in a bin.

    Args:
        rate: In percent.
        low: Lower end, which is not in the bin; equal to `high` for the bin of this one value.
        high: Upper end, which is in the bin; None for no end.

    Returns:
        Whether it is.
    """
    return rate == low == high or low < rate and (high is None or rate <= high)


def onset_record(mixtures: Sequence[PromptedMixture]) -> Record | None:
    """Onset errors of a set; None where the prompts have no times."""
    rows = [
        onset_errors(mixture.prompt, mixture.onsets, [start for start, _ in mixture.spans])
        for mixture in mixtures
        if mixture.onsets is not None
    ]
    return summarize_onsets(rows) if rows else None


def write_record(path: Path, record: Record) -> None:
    """Writes the record for reading by eye: a line for every key, region and mixture.

    Args:
        path: File to write.
        record: What `analyse_folder` made.
    """
    blocks = {key: json_lines(record[key], "  ") for key in ("words", "per_mixture")}
    lines = {key: json.dumps(value, ensure_ascii=False) for key, value in record.items()} | blocks
    with atomic_write(path) as f:
        f.write("{\n" + ",\n".join(f' "{key}": {text}' for key, text in lines.items()) + "\n}\n")


def read_record(path: Path) -> Record:
    """Reads a `prompt_quality.json`.

    Raises:
        UserError: It is missing, malformed or was written by an older version.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; run `espnet2-sop analyse` first")
    return read_json(path, SHAPE, "run `espnet2-sop analyse` again")
