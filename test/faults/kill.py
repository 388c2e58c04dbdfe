#!/usr/bin/env python3
"""Kills every stage of an experiment again and again, and wants the results of one that was left in peace.

    python test/faults/kill.py --kills 30 [--seed 0] [--stages "train sot,decode sop"] [--work DIR]

First all stages of a tiny experiment run without interruption. Then they run once more: each is killed (SIGKILL to it
and all its children) at moments that the seed decides, half of them uniform over its duration, half of them right
before one of its changes to a file (creation, renaming, removal, link); after each kill the same command is given
again. In the end weights, hypotheses, scores and the list of files must be equal.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import collections
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from compare import differences
from stages import commands, write_inputs
from victim import Victim, warm_up


@dataclass(frozen=True)
class Kill:
    """When a command is killed: after so many seconds, or before so many changes of files."""

    stage: str
    seconds: float | None = None
    change: int | None = None

    def __str__(self) -> str:
        return f"after {self.seconds:.2f} s" if self.change is None else f"before change {self.change}"


def plan(rng: random.Random, number: int, seconds: dict[str, float], changes: dict[str, int]) -> list[Kill]:
    """Draws kills: of two, one by time (stages by their duration), one by change (a stage, then its change)."""
    kills = []
    for index in range(number):
        if index % 2:
            (stage,) = rng.choices(list(seconds), list(seconds.values()))
            kills.append(Kill(stage, seconds=rng.uniform(0, seconds[stage])))
        else:
            stage = rng.choice([name for name in changes if changes[name]])
            kills.append(Kill(stage, change=rng.randint(1, changes[stage])))
    return kills


def in_peace(todo: dict[str, list[str]], work: Path, log: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Runs all stages; their seconds and numbers of changes to files."""
    seconds, changes = {}, {}
    for stage, argv in todo.items():
        victim = Victim(argv, work, log)
        finished(victim, stage, log)
        seconds[stage], changes[stage] = victim.seconds, victim.changes
    return seconds, changes


def finished(victim: Victim, stage: str, log: Path) -> None:
    """Waits for a command that must end well."""
    status = victim.wait()
    if status != 0:
        tail = "".join(log.read_text(errors="replace").splitlines(keepends=True)[-30:])
        sys.exit(f"{tail}kill.py: {stage} ended with status {status}; log: {log}")


def under_fire(todo: dict[str, list[str]], work: Path, log: Path, kills: list[Kill]) -> collections.Counter:
    """Runs all stages, killing them; how many kills hit a running command, by stage."""
    hits: collections.Counter = collections.Counter()
    for stage, argv in todo.items():
        for kill in (kill for kill in kills if kill.stage == stage):
            status = Victim(argv, work, log, kill.change).wait(kill.seconds)
            hit = status is None
            hits[stage] += hit
            print(f"  {stage}: {kill}{'' if hit else ' (had ended before)'}", flush=True)
            if status:
                sys.exit(f"kill.py: {stage} ended with status {status} instead of being killed; log: {log}")
        finished(Victim(argv, work, log), stage, log)
    return hits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="at least so many kills must hit (default 30)")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments (default 0)")
    parser.add_argument("--stages", help="kill these stages only, separated by commas; the last one ends it")
    parser.add_argument("--work", type=Path, help="folder to work in, kept (default: a temporary one)")
    args = parser.parse_args()
    start = time.monotonic()
    base = Path(args.work or tempfile.mkdtemp(prefix="sop-kill-")).resolve()
    base.mkdir(parents=True, exist_ok=True)
    warm_up()
    (base / "inputs").mkdir(exist_ok=True)
    write_inputs(base / "inputs")
    todo = commands(base / "inputs")
    wanted = args.stages.split(",") if args.stages else list(todo)
    last = max(map(list(todo).index, wanted))
    todo = dict(list(todo.items())[: last + 1])
    (base / "work").mkdir()
    seconds, changes = in_peace(todo, base / "work", base / "log")
    (base / "work").rename(base / "peace")
    print(f"without interruption: {sum(seconds.values()):.1f} s, {sum(changes.values())} changes of files", flush=True)
    for name in seconds:
        print(f"  {name}: {seconds[name]:.2f} s, {changes[name]} changes", flush=True)
    rng, hits, rounds = random.Random(args.seed), collections.Counter(), 0
    while hits.total() < args.kills:
        rounds += 1
        kills = plan(rng, args.kills - hits.total(), *({k: v[k] for k in wanted} for v in (seconds, changes)))
        shutil.rmtree(base / "work", ignore_errors=True)
        (base / "work").mkdir()
        hits += under_fire(todo, base / "work", base / "log", kills)
        if found := differences(base / "peace", base / "work"):
            sys.exit("\n".join([*found, f"kill.py: {len(found)} differences; kept in {base}"]))
    print(f"{hits.total()} kills in {rounds} rounds: {dict(hits)}")
    print(f"all results equal, nothing left over ({time.monotonic() - start:.0f} s)")
    if not args.work:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
