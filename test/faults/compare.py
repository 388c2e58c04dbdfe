"""Are the results of two experiments the same, but for times?"""

import json
import zipfile
from pathlib import Path

import torch

LEFT = {".lock"}  # what may stay behind: the file that a lock is on
TIMES = ("time", "seconds", "real_time_factor", "mem_GB", "created", "date")
TIMED = {"speed.json"}  # beside what is compared of it
UNORDERED = {".stored", ".num_samples.tsv"}  # an interrupted run writes lines in another order, or twice
ABOUT_TIMES = {"RESULTS.md", "report.html", "results.csv", "speed.png", "speed.svg"}  # hold real-time factors


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir() or p.is_symlink()}


def differences(one: Path, two: Path) -> list[str]:
    """In words, what is not the same in two folders."""
    names, others = files(one), files(two)
    found = [f"{name}: is missing" for name in sorted(names - others) if Path(name).name not in LEFT]
    found += [f"{name}: is left over" for name in sorted(others - names) if Path(name).name not in LEFT]
    for name in sorted(names & others):
        if Path(name).name not in LEFT and (why := difference(one / name, two / name)):
            found.append(f"{name}: {why}")
    return found


def difference(one: Path, two: Path) -> str | None:
    """Why two files differ; None if they do not."""
    if one.is_symlink() or two.is_symlink():
        return None if one.is_symlink() and two.is_symlink() and one.readlink() == two.readlink() else "other link"
    if one.suffix == ".pth":
        values = [timeless(torch.load(path, weights_only=False, map_location="cpu")) for path in (one, two)]
        return None if equal(*values) else "other values"
    if one.suffix == ".zip":
        crcs = [{i.filename: i.CRC for i in zipfile.ZipFile(path).infolist()} for path in (one, two)]
        return None if without_readme(crcs[0]) == without_readme(crcs[1]) else "other contents"
    if one.suffix == ".json":
        values = [timeless(json.loads(path.read_text())) for path in (one, two)]
        return None if values[0] == values[1] else f"other values: {str(values)[:300]}"
    if one.name in UNORDERED:
        lines = [set(path.read_text().splitlines()) for path in (one, two)]
        return None if lines[0] == lines[1] else "other lines"
    if one.name in ABOUT_TIMES:
        return None if two.stat().st_size > 0.9 * one.stat().st_size else "shorter"
    return None if one.read_bytes() == two.read_bytes() else "other bytes"


def without_readme(crcs: dict[str, int]) -> dict[str, int]:
    return {name: crc for name, crc in crcs.items() if not name.endswith("README.md")}


def timeless(value):
    """Nested values without those that tell how long something took."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if not any(word in str(k) for word in TIMES)}
    if isinstance(value, (list, tuple)):
        return [timeless(v) for v in value]
    return value


def equal(one, two) -> bool:
    """Whether nested values are equal, tensors bit by bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(v, two[k]) for k, v in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(equal, one, two))
    if hasattr(one, "__dict__"):
        return type(one) is type(two) and equal(timeless(vars(one)), timeless(vars(two)))
    return one == two or (one != one and two != two)
