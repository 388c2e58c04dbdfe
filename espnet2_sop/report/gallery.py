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
from espnet2_sop.scoring.metrics import Talkers
from espnet2_sop.scoring.score import talker_words
from espnet2_sop.scoring.tables.markdown import DASH, plural
from espnet2_sop.scoring.tables.systems import system_rank

AUDIO_BYTES = 8_000_000  # of all examples together, as FLAC
LINE_WIDTH = 112  # characters, padding included, before the words of a talker go on in another table
MOST_INSERTED = 8  # words at one place that are shown in full; a decoder that loops inserts hundreds
Column = tuple[str, int]  # "word" or "gap" (insertions before a word), and the index of the word


@dataclass(frozen=True)
class Writer:
    """A system, or the prompt of one."""

    system: str
    prompt: bool = False


@dataclass(frozen=True)
class Row:
    """What one or several systems wrote.

    Attributes:
        writers: Those that wrote these words.
        talkers: One for each of the reference, then surplus ones.
        errors: Of cpWER, in the whole mixture.
    """

    writers: list[Writer]
    talkers: list[AlignedTalker]
    errors: int


@dataclass(frozen=True)
class Word:
    """A word in a table: its text, its class in the style sheet, and what a pointer on it shows."""

    text: str
    kind: str = ""
    title: str = ""


@dataclass(frozen=True)
class Written:
    """A row of a table of words: who wrote them, at which slot if it is another one, and the words."""

    writers: list[Writer]
    moved_to: int | None
    words: list[Word]


@dataclass(frozen=True)
class Line:
    """Some columns of a talker: words of the reference, and what stands below them."""

    reference: list[str]
    rows: list[Written]


@dataclass(frozen=True)
class Talker:
    """A talker of the reference, or (slot None) a surplus one.

    Attributes:
        slot: Place in the order of onsets, from 0.
        speaker: Name in the manifest, or nothing.
        lines: Words, broken into lines.
    """

    slot: int | None
    speaker: str
    lines: list[Line]


@dataclass(frozen=True)
class Bar:
    """When a talker speaks: start and length in percent of the mixture, and its times as text."""

    left: float
    width: float
    text: str


@dataclass(frozen=True)
class Shown:
    """An example as the page shows it.

    Attributes:
        reason: Why it was chosen.
        id: Id of the mixture.
        details: Test set, talkers, overlap, duration.
        audio: Address of its audio, or nothing.
        silent: Why there is no audio.
        bars: When each talker speaks.
        words: Words of the reference.
        rows: Errors of all systems.
        talkers: Their words.
    """

    reason: str
    id: str
    details: list[str]
    audio: str
    silent: str
    bars: list[Bar]
    words: int
    rows: list[Row]
    talkers: list[Talker]


def gallery(experiment: Experiment, number: int) -> list[Shown]:
    """The examples of the page.

    Args:
        experiment: What was read.
        number: Most examples.

    Returns:
        One for each, in the order of the page.
    """
    left, mixtures, shown = AUDIO_BYTES, {}, []
    for example in choose(experiment, number):
        results = experiment.test_sets[example.test_set]
        if example.test_set not in mixtures:
            mixtures[example.test_set] = read_mixtures(results[0].test_set.folder)
        mixture = mixtures[example.test_set].get(example.id)
        data, silent = audio(mixture, results[0], left)
        left -= len(data)
        shown.append(show(example, results, mixture, data_uri(data, "audio/flac") if data else "", silent))
    return shown


def audio(mixture: Mixture | None, result: Result, most: int) -> tuple[bytes, str]:
    """The audio of an example as FLAC.

    Args:
        mixture: The mixture, None if the manifest does not have it.
        result: One of the test set.
        most: Most bytes.

    Returns:
        The bytes and an empty text, or no bytes and the reason.
    """
    if mixture is None:
        return b"", f"No player: mixtures.jsonl of {result.test_set.name} does not have this mixture."
    try:
        data = flac(mixture, result.test_set.folder)
    except UserError as error:
        return b"", f"No player: {error}"
    if len(data) > most:
        return b"", f"No player: {AUDIO_BYTES / 1e6:g} MB of audio are the most that a report holds."
    return data, ""


def show(example: Example, results: Sequence[Result], mixture: Mixture | None, sound: str, silent: str) -> Shown:
    """Puts together what the page shows of an example.

    Args:
        example: The example.
        results: All systems on its test set.
        mixture: The mixture, None if the manifest does not have it.
        sound: Address of its audio, or nothing.
        silent: Why there is no audio.

    Returns:
        The example as the page shows it.
    """
    test_set = results[0].test_set
    ref = talker_words(test_set.texts[example.id])
    details = [example.test_set, plural(len(ref), "talker")]
    if example.id in test_set.overlap:
        details.append(f"overlap {test_set.overlap[example.id]:.2f}")
    if example.id in test_set.durations:
        details.append(f"{test_set.durations[example.id]:.1f} s")
    rows = aligned_rows(example.id, ref, results)
    number = max([len(ref), *(len(row.talkers) for row in rows)])
    talkers = [talker(slot, ref, rows, mixture) for slot in range(number)]
    bars = timeline(mixture) if mixture else []
    words = sum(map(len, ref))
    return Shown(example.reason, example.id, details, sound, silent, bars, words, rows, talkers)


def aligned_rows(key: str, ref: Talkers, results: Sequence[Result]) -> list[Row]:
    """What each system wrote, behind what it was prompted with; equal texts are one row.

    Args:
        key: Id of the mixture.
        ref: Words of each reference talker.
        results: All systems on the test set.

    Returns:
        The rows, systems in the order of all tables.
    """
    writers: dict[tuple, list[Writer]] = {}
    for result in sorted(results, key=lambda result: system_rank(result.system)):
        texts = [(result.texts, False)]
        if result.prompts and result.prompts != result.texts:
            texts.insert(0, (result.prompts, True))
        for table, prompt in texts:
            words = tuple(map(tuple, talker_words(table.get(key, ""))))
            writers.setdefault(words, []).append(Writer(result.system, prompt))
    rows = []
    for words, names in writers.items():
        talkers = align_talkers(ref, [list(talker) for talker in words])
        errors = sum(t.insertions + t.count(SUBSTITUTED) + t.count(DELETED) for t in talkers)
        rows.append(Row(names, talkers, errors))
    return rows


def timeline(mixture: Mixture) -> list[Bar]:
    """When each talker speaks."""
    total = max(mixture.num_samples, 1)
    return [
        Bar(100 * start / total, 100 * (end - start) / total,
            f"{start / SAMPLE_RATE:.2f}–{end / SAMPLE_RATE:.2f} s")
        for start, end in mixture.spans
    ]  # fmt: skip


def talker(slot: int, ref: Talkers, rows: Sequence[Row], mixture: Mixture | None) -> Talker:
    """The words of one talker of the reference, or of a surplus one.

    Args:
        slot: Place in the order of onsets, from 0; beyond the reference a surplus talker.
        ref: Words of each reference talker.
        rows: What the systems wrote.
        mixture: The mixture, None if the manifest does not have it.

    Returns:
        The talker as the page shows it.
    """
    known = slot < len(ref)
    words = ref[slot] if known else []
    written = [(row.writers, row.talkers[slot]) for row in rows if slot < len(row.talkers)]
    lines = [
        Line(
            [words[index] if kind == "word" else "" for kind, index in columns],
            [
                Written(writers, None if aligned.slot == slot else aligned.slot,
                        [shown_word(words, aligned, column) for column in columns])
                for writers, aligned in written
            ],
        )
        for columns in broken_lines(words, [aligned for _, aligned in written])
    ]  # fmt: skip
    speaker = mixture.sources[slot].speaker if known and mixture and slot < mixture.num_talkers else ""
    return Talker(slot if known else None, speaker, lines)


def broken_lines(words: Sequence[str], rows: Sequence[AlignedTalker]) -> Iterator[list[Column]]:
    """Cuts the columns of a talker (words, and insertions before them where there are any) into lines.

    Args:
        words: Those of the reference.
        rows: What the systems wrote.

    Yields:
        The columns of a line.
    """
    line: list[Column] = []
    used = 0
    for index in range(len(words) + 1):
        for kind in ("gap", "word"):
            cells = [cell_text(aligned, (kind, index)) for aligned in rows]
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


def cell_text(aligned: AlignedTalker, column: Column) -> str:
    """What a system wrote in a column.

    Args:
        aligned: Its talker.
        column: The column.

    Returns:
        A word, the inserted words, or nothing.
    """
    kind, index = column
    if kind == "gap":
        words = aligned.inserted[index]
        return " ".join(words) if len(words) <= MOST_INSERTED else f"{' '.join(words[:4])} … {len(words)} words"
    return aligned.words[index][1] if index < len(aligned.words) else ""


def shown_word(words: Sequence[str], aligned: AlignedTalker, column: Column) -> Word:
    """A word with what became of it.

    Args:
        words: Those of the reference.
        aligned: What a system wrote.
        column: The column.

    Returns:
        The word; one without text where nothing was inserted.
    """
    kind, index = column
    text = cell_text(aligned, column)
    if kind == "gap":
        return Word(f"+ {text}", "inserted", "inserted") if text else Word("")
    what = aligned.words[index][0]
    return Word(text or DASH, what, "" if what == CORRECT else f"{what}: {words[index]}")
