"""Where results come from: versions, machine, commit, and what decoded."""

import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from espnet2_sop import __version__
from espnet2_sop.io.json_shapes import read_json

PACKAGES = ("torch", "espnet", "transformers", "peft")
SPEED = {"real_time_factor": float, "gpu": (str, None), "threads": int}  # of speed.json


def environment(folders: Iterable[Path]) -> dict[str, str]:
    """Versions, machine, commit and date of this call, and the machines that decoded what is below the folders."""
    folders = list(folders)
    packages = [f"{package} {installed(package)}" for package in PACKAGES]
    cores = f"{os.cpu_count()} cores"
    gpus = said_by("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "versions": ", ".join([f"python {platform.python_version()}", *packages, f"espnet2-sop {__version__}"]),
        "machine": f"{platform.system()} {platform.machine()}, {processor()}, {cores}, {', '.join(gpus) or 'no GPU'}",
        "commit": commit(folders[0]),
        "decoded on": ", ".join(dict.fromkeys(d for folder in folders for d in decoders(folder))) or "not known",
    }


def installed(package: str) -> str:
    """Version of an installed package, or that it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """Name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown CPU"


def decoders(exp: Path) -> list[str]:
    """GPU or number of CPU threads of every decoding, from the files speed.json."""
    found: dict[str, Any] = {}
    for path in sorted(exp.rglob("speed.json")):
        speed = read_json(path, SPEED, "decode again")
        found[speed["gpu"] or f"CPU ({speed['threads']} thread{'s' * (speed['threads'] > 1)})"] = None
    return list(found)


def commit(folder: Path) -> str:
    """The commit of the working tree that a folder is in."""
    name = said_by("git", "-C", str(folder), "rev-parse", "--short=12", "HEAD")
    changed = said_by("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    return f"{name}{' with changes' if changed else ''}" if name else "not in a git repository"


def said_by(*command: str) -> str:
    """Output of a program; nothing if it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
