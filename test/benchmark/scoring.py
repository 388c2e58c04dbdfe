#!/usr/bin/env python3
"""Times the scoring beside meeteval's, and compares every error count.

All are measured in turn and in CPU time (it is one thread), so that other load hits both sides alike; the median of
all rounds counts. meeteval gets its own SegLST in memory. The metrics of espnet2-sop take the words of each talker,
which normalisation leaves; a second row also has grouping and splitting of the segments. The last row is all of
`espnet2-sop score` from files (normalisation, five metrics, breakdowns, intervals) beside meeteval's cpWER from files.
A difference of any count ends it with an error.

    python test/benchmark/scoring.py                               # 3,000 mixtures of two and three talkers
    python test/benchmark/scoring.py --ref REF.json --hyp HYP.json   # SegLST of a real system
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import meeteval

from espnet2_sop.scoring.metrics import METRICS, title
from espnet2_sop.scoring.rates import Talkers
from espnet2_sop.scoring.record import score, write_record

WORDS = 15  # words of an utterance, about as in LibriSpeech
VOCABULARY = 5000
ERRORS = 0.15
ORDER = {"reference_sort": False, "hypothesis_sort": False}  # the segments are in order


def make_texts(mixtures: int, seed: int = 1) -> tuple[list[dict], list[dict]]:
    """SegLST of reference and hypothesis: wrong, lost and new words, some talkers swapped, lost or surplus."""
    rng = random.Random(seed)
    words = [f"w{number}" for number in range(VOCABULARY)]
    sides: tuple[list[dict], list[dict]] = ([], [])
    for mixture in range(mixtures):
        ref = [rng.choices(words, k=rng.randint(WORDS // 2, 2 * WORDS)) for _ in range(2 + mixture % 2)]
        hyp = [[rng.choice(words) if rng.random() < ERRORS else w for w in t if rng.random() > ERRORS / 5] for t in ref]
        if rng.random() < 0.05:
            rng.shuffle(hyp)
        if rng.random() < 0.05:
            hyp = hyp[1:] if rng.random() < 0.5 else [*hyp, rng.choices(words, k=3)]
        for side, talkers in zip(sides, (ref, hyp), strict=True):
            side += [
                {"session_id": f"m{mixture}", "speaker": str(slot), "words": " ".join(talker)}
                for slot, talker in enumerate(talkers, 1)
            ]
    return sides


def grouped(segments: list[dict]) -> dict[str, dict[str, str]]:
    """{session: {speaker: words}}"""
    sessions: dict[str, dict[str, str]] = {}
    for segment in segments:
        session, speaker = sessions.setdefault(segment["session_id"], {}), segment["speaker"]
        session[speaker] = f"{session[speaker]} {segment['words']}" if speaker in session else segment["words"]
    return sessions


def split(ref: list[dict], hyp: list[dict]) -> dict[str, tuple[Talkers, Talkers]]:
    """{session: words of the talkers of both sides}"""
    hypotheses = grouped(hyp)
    return {
        key: tuple([words.split() for words in side.values()] for side in (talkers, hypotheses.get(key, {})))
        for key, talkers in grouped(ref).items()
    }


def of_words(metric: str, sides: dict[str, tuple[Talkers, Talkers]]) -> dict[str, tuple[int, int]]:
    """{session: (errors, words)} of one metric."""
    counts = {key: METRICS[metric](*side) for key, side in sides.items()}
    return {key: (count.errors, count.words) for key, count in counts.items()}


def of_segments(metric: str, ref: list[dict], hyp: list[dict]) -> dict[str, tuple[int, int]]:
    """The same from the segments on; every mixture is split right before it is scored."""
    hypotheses, counts = grouped(hyp), {}
    for key, talkers in grouped(ref).items():
        sides = ([words.split() for words in side.values()] for side in (talkers, hypotheses.get(key, {})))
        count = METRICS[metric](*sides)
        counts[key] = (count.errors, count.words)
    return counts


def theirs(metric: str, ref: list[dict], hyp: list[dict]) -> dict[str, tuple[int, int]]:
    """The same by meeteval."""
    function = {"cpwer": meeteval.wer.cpwer, "orc_wer": meeteval.wer.orcwer}[metric]
    found = function(meeteval.io.SegLST(ref), meeteval.io.SegLST(hyp), **ORDER)
    return {key: (rate.errors, rate.length) for key, rate in found.items()}


def loaded(path: Path) -> meeteval.io.SegLST:
    return meeteval.io.SegLST(json.loads(path.read_text(encoding="utf-8")))


def timed(call: Callable, *args: object) -> tuple[float, object]:
    start = time.process_time()
    result = call(*args)
    return time.process_time() - start, result


def row(name: str, pairs: list[tuple[float, float]]) -> None:
    """Prints medians and their ratio."""
    mine, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"| {name} | {1000 * mine:.0f} ms | {1000 * other:.0f} ms | {other / mine:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixtures", type=int, default=3000, help="mixtures to make (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each (default: %(default)s)")
    parser.add_argument("--ref", type=Path, help="SegLST of references instead of made ones")
    parser.add_argument("--hyp", type=Path, help="SegLST of hypotheses")
    args = parser.parse_args()
    if args.ref and args.hyp:
        ref, hyp = (json.loads(path.read_text(encoding="utf-8")) for path in (args.ref, args.hyp))
        kept = ("session_id", "speaker", "words")
        ref, hyp = ([{key: segment[key].lower() for key in kept} for segment in side] for side in (ref, hyp))
    else:
        ref, hyp = make_texts(args.mixtures)
    sides = split(ref, hyp)
    print(f"{len(sides)} mixtures, medians of {args.rounds} rounds\n")
    print("| what | espnet2-sop | meeteval | times faster |\n|---|---|---|---|")
    for metric in ("cpwer", "orc_wer"):
        words, segments = [], []
        for _ in range(args.rounds):
            mine, counts = timed(of_words, metric, sides)
            mine_too, counts_too = timed(of_segments, metric, ref, hyp)
            other, expected = timed(theirs, metric, ref, hyp)
            words.append((mine, other))
            segments.append((mine_too, other))
            if not counts == counts_too == expected:
                raise SystemExit(f"{metric}: {sum(counts[k] != expected[k] for k in expected)} mixtures differ")
        row(f"{title(metric)}, ours from words in memory", words)
        row(f"{title(metric)}, both from segments in memory", segments)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("ref.json", "hyp.json")]
        for path, side in zip(paths, (ref, hyp), strict=True):
            path.write_text(json.dumps(side))
        pairs = []
        for _ in range(args.rounds):
            mine, _ = timed(lambda: write_record(Path(folder), score(*paths)))
            other, _ = timed(lambda: meeteval.wer.cpwer(*map(loaded, paths), **ORDER))
            pairs.append((mine, other))
        row("from files: everything / cpWER alone", pairs)


if __name__ == "__main__":
    main()
