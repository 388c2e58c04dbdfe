"""Does the LLM read its prompt? One system with its own prompts, with the reference, with those of others, and without.

A prompt without errors helps an LLM that reads it. One that hardly reads it writes what it hears, whatever the prompt.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet2_sop.io.errors import UserError, printable
from espnet2_sop.io.files import read_kaldi
from espnet2_sop.io.json_shapes import read_json
from espnet2_sop.io.provenance import NAME as ORIGIN
from espnet2_sop.io.provenance import flat
from espnet2_sop.scoring.bootstrap import Difference, paired_difference
from espnet2_sop.scoring.breakdown import summary
from espnet2_sop.scoring.prompt.quality import require_prompt
from espnet2_sop.scoring.rates import ErrorCount
from espnet2_sop.scoring.score import score_set
from espnet2_sop.scoring.tables.markdown import DASH, Document, Section, Table, difference, error_rate

FOLDER = "prompt_use"  # SYSTEM/prompt_use/SOURCE/TEST_SET
SOURCES = ("reference", "other", "none")  # as in espnet2-sop decode --sop_source
READS, HARDLY = 0.5, 0.1  # share of its own errors that a system loses with the reference as prompt
CHOSEN = ("options.sop_source", "options.mixtures")  # what may differ from the decoding with own prompts


@dataclass(frozen=True)
class PromptUse:
    """One system on one test set with prompts from four sources.

    Attributes:
        name: System and test set.
        counts: {"own", and each of SOURCES: cpWER errors of every mixture, in the same order}.
    """

    name: str
    counts: dict[str, list[ErrorCount]]

    @property
    def difference(self) -> Difference | None:
        """cpWER with own prompts minus that with the reference as prompt; None where there are no words."""
        own, reference = ([count.errors for count in self.counts[source]] for source in ("own", "reference"))
        return paired_difference(own, reference, [count.words for count in self.counts["own"]])

    @property
    def verdict(self) -> str:
        """In words whether the LLM reads its prompt, by the rule in the note of the table."""
        own, reference = (sum(count.errors for count in self.counts[source]) for source in ("own", "reference"))
        found = self.difference
        if not found or not own:
            return DASH
        share = (own - reference) / own
        if share < HARDLY:
            return "hardly reads it"
        if found.low <= 0:
            return "cannot tell"
        return "reads it" if share >= READS else "reads some of it"


def prompt_use(ref: Path, hyp: Path) -> PromptUse:
    """Scores the decodings of a system with prompts from elsewhere, and its own on the same mixtures.

    Args:
        ref: Data directory.
        hyp: Folder `.../SYSTEM/TEST_SET` with `text` and `prompt`, the others in `.../SYSTEM/prompt_use/SOURCE`.

    Returns:
        The counts.

    Raises:
        UserError: The system has no prompt, or a decoding is missing, of other mixtures or made otherwise.
    """
    require_prompt(hyp)
    hyp = Path(os.path.abspath(hyp))
    folders = {source: hyp.parent / FOLDER / source / hyp.name for source in SOURCES}
    texts = {"own": read_kaldi(hyp / "text")}
    for source, folder in folders.items():
        if not (folder / "text").is_file():
            out = f"--mixtures N --out {folder.parent}"
            raise UserError(f"{folder}: no text; run `espnet2-sop decode --sop_source {source} {out}`")
        texts[source] = read_kaldi(folder / "text")
        require_same_origin(hyp, folder)
    first, *others = SOURCES
    for source in others:
        if texts[source].keys() != texts[first].keys():
            raise UserError(
                f"{folders[source]}: other mixtures than in {folders[first]}; decode both with one --mixtures"
            )
    if left := texts[first].keys() - texts["own"].keys():
        raise UserError(f"{hyp / 'text'}: no {min(left)}, which {folders[first]} has; decode again")
    references = read_kaldi(ref / "text")
    if left := texts[first].keys() - references.keys():
        raise UserError(f"{ref / 'text'}: no {min(left)}, which {folders[first]} has; give the set that was decoded")
    references = {key: references[key] for key in sorted(texts[first])}
    counts = {}
    for source, text in texts.items():
        scored = score_set(references, {key: text[key] for key in references})
        counts[source] = [count["cpwer"] for count in scored.counts.values()]
    return PromptUse(f"{hyp.parent.name}, {hyp.name}", counts)


def require_same_origin(own: Path, other: Path) -> None:
    """Refuses a decoding by another checkpoint, of another test set or with other options than those of the prompt.

    Args:
        own: Folder that was decoded with own prompts.
        other: Folder that was decoded with others.

    Raises:
        UserError: They differ in more than prompts and number of mixtures.
    """
    if not all((folder / ORIGIN).is_file() for folder in (own, other)):
        return
    here, there = (flat(read_json(folder / ORIGIN, {}, "decode again")) for folder in (own, other))
    for key in {**here, **there}:
        if key not in CHOSEN and here.get(key) != there.get(key):
            raise UserError(
                f"{other}: {key} is {there.get(key)}, but {here.get(key)} in {own}; decode again, or remove {FOLDER}"
            )


def uses_of(records: Sequence[dict[str, Any]]) -> list[PromptUse]:
    """The uses of prompts beside scored hypotheses; those that cannot be read are told of and left out.

    Args:
        records: As `score.json` has them.

    Returns:
        One for each system and test set that was decoded with other prompts, too.
    """
    found = []
    for record in records:
        hyp = Path(record["hypothesis"])
        if any((hyp.parent / FOLDER / source / hyp.name / "text").is_file() for source in SOURCES):
            try:
                found.append(prompt_use(Path(record["reference"]), hyp))
            except UserError as error:
                print(printable(f"espnet2-sop: warning: prompt use is left out: {error}"), file=sys.stderr)
    return found


def use_section(uses: Sequence[PromptUse]) -> Section:
    """The table of prompt use, and the rule for its words."""
    rows = [
        [use.name, str(len(use.counts["own"])),
         *(error_rate(summary(use.counts[source])) for source in ("own", *SOURCES)),
         difference(use.difference), use.verdict]
        for use in uses
    ]  # fmt: skip
    header = ["system, test set", "mixtures", "own prompt", "reference", "that of another mixture", "none",
              "own - reference", "the LLM"]  # fmt: skip
    notes = [
        "cpWER in percent with 95 % intervals, by what the LLM reads as prompt; the reference is an oracle, no result.",
        f"Reads it: with the reference as prompt it makes at least {100 * READS:.0f} % fewer errors than with its own; "
        f"hardly: less than {100 * HARDLY:.0f} % fewer; between: some of it. Cannot tell: the interval of the "
        "difference includes zero, more mixtures are needed.",
    ]
    return Section("Does the LLM read its prompt?", notes, [Table(header, rows)])


def use_document(uses: Sequence[PromptUse]) -> Document:
    """What `espnet2-sop analyse --prompt_use` prints."""
    return Document("Prompt use", (), [use_section(uses)])
