"""Examples: audio, and the words of all systems under those of the reference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.mixture.manifest import Mixture
from espnet2_sop.report.alignment import CORRECT, DELETED, SUBSTITUTED, AlignedTalker, align_talkers
from espnet2_sop.report.audio import data_uri, flac, read_mixtures
from espnet2_sop.report.examples import Example, choose
from espnet2_sop.report.experiment import Experiment, Result
from espnet2_sop.report.figures import Look
from espnet2_sop.report.markup import escape, mark, note
from espnet2_sop.scoring.metrics import Talkers
from espnet2_sop.scoring.score import talker_words
from espnet2_sop.scoring.tables.results import system_rank

AUDIO_BYTES = 8_000_000  # of all examples together, as FLAC
LINE_WIDTH = 112  # characters, padding included, before the words of a talker go on in another table
MOST_INSERTED = 8  # words at one place that are shown in full; a decoder that loops inserts hundreds
MOST_NAMES = 2  # of systems that share a row
TALKER_COLOURS = 6  # classes t0, t1, ... of the style sheet


@dataclass(frozen=True)
class Row:
    """What one or several systems wrote.

    Attributes:
        names: Their names as HTML.
        talkers: One for each of the reference, and those that are too many.
        errors: Of cpWER, in the whole mixture.
    """

    names: list[str]
    talkers: list[AlignedTalker]
    errors: int

    @property
    def label(self) -> str:
        """The first names; the list above the words has all."""
        more = f' <span class="soft">+ {len(self.names) - MOST_NAMES}</span>' if len(self.names) > MOST_NAMES else ""
        return ", ".join(self.names[:MOST_NAMES]) + more


def gallery(experiment: Experiment, number: int, looks: dict[str, Look]) -> str:
    """The section of examples."""
    samples = " ".join(
        f'<span class="sample {kind}">{text}</span>'
        for kind, text in (
            (CORRECT, "correct"),
            (SUBSTITUTED, "substituted"),
            (DELETED, "– deleted"),
            ("inserted", "+ inserted"),
        )
    )
    parts = [
        f'<p class="soft">Words after normalisation, talkers in the assignment of cpWER. {samples}</p>'
        '<p class="soft">Systems with the same words share a row. A prompt is what the CTC heads of a system wrote for'
        " its LLM to read.</p>"
    ]
    left, mixtures = AUDIO_BYTES, {}
    examples = choose(experiment, number)
    for index, example in enumerate(examples, 1):
        results = experiment.test_sets[example.test_set]
        if example.test_set not in mixtures:
            mixtures[example.test_set] = read_mixtures(results[0].test_set.folder)
        mixture = mixtures[example.test_set].get(example.id)
        sound, size = player(mixture, results[0], left)
        left -= size
        parts.append(article(index, example, results, mixture, sound, looks))
    if not examples:
        parts.append(note("No examples: none asked for, or the references are not where score.json says."))
    return "\n".join(parts)


def player(mixture: Mixture | None, result: Result, most: int) -> tuple[str, int]:
    """An audio player, or a note that says why there is none; and the bytes of its audio."""
    if mixture is None:
        return note(f"No player: mixtures.jsonl of {result.test_set.name} does not have this mixture."), 0
    try:
        data = flac(mixture, result.test_set.folder)
    except UserError as error:
        return note(f"No player: {error}"), 0
    if len(data) > most:
        return note(f"No player: {AUDIO_BYTES / 1e6:g} MB of audio are the most that a report holds."), 0
    return f'<audio controls preload="none" src="{data_uri(data, "audio/flac")}"></audio>', len(data)


def article(
    index: int,
    example: Example,
    results: Sequence[Result],
    mixture: Mixture | None,
    sound: str,
    looks: dict[str, Look],
) -> str:
    """One example."""
    test_set = results[0].test_set
    ref = talker_words(test_set.texts[example.id])
    details = [example.test_set, f"{len(ref)} talker{'s' * (len(ref) != 1)}"]
    if example.id in test_set.overlap:
        details.append(f"overlap {test_set.overlap[example.id]:.2f}")
    if example.id in test_set.durations:
        details.append(f"{test_set.durations[example.id]:.1f} s")
    rows = aligned_rows(example.id, ref, results, looks)
    number = max([len(ref), *(len(row.talkers) for row in rows)])
    errors = "".join(f"<li>{', '.join(row.names)}: <b>{row.errors}</b></li>" for row in rows)
    return "\n".join(
        [
            f'<article id="example{index}"><h3>{index}. {escape(example.reason)}</h3>',
            f'<p class="soft">{escape(", ".join(details))}<br><code>{escape(example.id)}</code></p>',
            sound,
            timeline(mixture) if mixture else "",
            f'<ul class="legend"><li>errors in {sum(map(len, ref))} words:</li>{errors}</ul>',
            *(talker_block(slot, ref, rows, mixture) for slot in range(number)),
            "</article>",
        ]
    )


def aligned_rows(name: str, ref: Talkers, results: Sequence[Result], looks: dict[str, Look]) -> list[Row]:
    """Rows of an example: what each system wrote, behind what it was prompted with; equal ones are one row."""
    labels: dict[tuple, list[str]] = {}
    for result in sorted(results, key=lambda result: system_rank(result.system)):
        if result.prompts and result.prompts != result.texts:
            words = talker_words(result.prompts.get(name, ""))
            labels.setdefault(tuple(map(tuple, words)), []).append(named(result.system, looks, "prompt of "))
        words = talker_words(result.texts.get(name, ""))
        labels.setdefault(tuple(map(tuple, words)), []).append(named(result.system, looks))
    rows = []
    for words, names in labels.items():
        talkers = align_talkers(ref, [list(talker) for talker in words])
        errors = sum(t.insertions + t.count(SUBSTITUTED) + t.count(DELETED) for t in talkers)
        rows.append(Row(names, talkers, errors))
    return rows


def named(system: str, looks: dict[str, Look], role: str = "") -> str:
    """A system's name with its mark, as HTML."""
    return f'<span class="system">{mark(looks[system])}{role}{escape(system)}</span>'


def chip(slot: int) -> str:
    """The number of a talker slot (from 0) in its colour, as HTML."""
    return f'<span class="chip t{slot % TALKER_COLOURS}">{slot + 1}</span>'


def timeline(mixture: Mixture) -> str:
    """When each talker speaks."""
    total = max(mixture.num_samples, 1)
    bars = []
    for slot, (start, end) in enumerate(mixture.spans):
        place = f"left:{100 * start / total:.1f}%;width:{100 * (end - start) / total:.1f}%"
        text = f"{start / SAMPLE_RATE:.2f}–{end / SAMPLE_RATE:.2f} s"
        bars.append(f'<div><span class="t{slot % TALKER_COLOURS}" style="{place}">{slot + 1}: {text}</span></div>')
    return f'<div class="timeline" role="img" aria-label="when each talker speaks">{"".join(bars)}</div>'


def talker_block(slot: int, ref: Talkers, rows: Sequence[Row], mixture: Mixture | None) -> str:
    """The words of one talker of the reference, or of a talker too many."""
    if slot < len(ref):
        speaker = mixture.sources[slot].speaker if mixture and slot < mixture.num_talkers else ""
        heading = f"{chip(slot)} talker {slot + 1}" + (f", speaker {escape(speaker)}" if speaker else "")
        words = ref[slot]
    else:
        heading, words = "one talker too many", []
    written = [(row, row.talkers[slot]) for row in rows if slot < len(row.talkers)]
    aligned = [(row.label + moved(talker, slot), talker) for row, talker in written]
    tables = "".join(word_table(words, aligned, columns) for columns in lines(words, aligned))
    return f'<h4>{heading}</h4><div class="scroll">{tables}</div>'


def moved(talker: AlignedTalker, slot: int) -> str:
    """A mark where the system put a talker at another place."""
    if talker.slot in (slot, None):
        return ""
    return f' <span class="system soft">written as {chip(talker.slot)}</span>'


def lines(words: Sequence[str], rows: Sequence[tuple[str, AlignedTalker]]) -> Iterator[list[tuple[str, int]]]:
    """Cuts the columns of a talker (words, and insertions before them where there are any) into lines."""
    line: list[tuple[str, int]] = []
    used = 0
    for index in range(len(words) + 1):
        for kind in ("gap", "word"):
            cells = [cell_text(talker, kind, index) for _, talker in rows]
            if kind == "word" and index < len(words):
                cells.append(words[index])
            width = max(map(len, cells), default=0)
            if not width:
                continue
            if line and used + width + 2 > LINE_WIDTH:
                yield line
                line, used = [], 0
            line.append((kind, index))
            used += width + 2
    if line:
        yield line


def cell_text(talker: AlignedTalker, kind: str, index: int) -> str:
    """What stands in a column, without escaping."""
    if kind == "gap":
        words = talker.inserted[index]
        return " ".join(words) if len(words) <= MOST_INSERTED else f"{' '.join(words[:4])} … {len(words)} words"
    return talker.words[index][1] if index < len(talker.words) else ""


def word_table(
    words: Sequence[str], rows: Sequence[tuple[str, AlignedTalker]], columns: Sequence[tuple[str, int]]
) -> str:
    """Some columns of a talker: the reference above, the systems below."""
    shown = (escape(words[index]) if kind == "word" else "" for kind, index in columns)
    head = "".join(f"<td><span>{text}</span></td>" for text in shown)
    reference = f'<tr class="ref"><th>reference</th>{head}</tr>' if words else ""
    body = "".join(
        f"<tr><th>{label}</th>{''.join(word_cell(words, talker, *column) for column in columns)}</tr>"
        for label, talker in rows
    )
    return f'<table class="words"><tbody>{reference}{body}</tbody></table>'


def word_cell(words: Sequence[str], talker: AlignedTalker, kind: str, index: int) -> str:
    """One word, coloured by what became of it."""
    if kind == "gap":
        text = cell_text(talker, kind, index)
        return f'<td><span class="inserted" title="inserted">+ {escape(text)}</span></td>' if text else "<td></td>"
    what, word = talker.words[index]
    title = "" if what == CORRECT else f' title="{what}: {escape(words[index])}"'
    return f'<td><span class="{what}"{title}>{escape(word) or "–"}</span></td>'
