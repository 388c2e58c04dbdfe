"""Says in one line whether the Python that runs this file can run this checkout.

usage: python tools/check_env.py [EXTRA]

Prints `ready`, `foreign` (espnet2_sop is not installed, or is the one of another checkout) or `missing: ...` with the
names of what pyproject.toml asks for, and EXTRA adds, and this Python does not have. Nothing heavy is imported.
"""

import importlib.util
import os
import shutil
import sys
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def is_this_checkout() -> bool:
    """True if `import espnet2_sop` loads the package of this checkout and the command `espnet2-sop` is there."""
    spec = importlib.util.find_spec("espnet2_sop")
    if spec is None or spec.origin is None or Path(spec.origin).resolve() != ROOT / "espnet2_sop" / "__init__.py":
        return False
    folders = [os.path.dirname(sys.executable), os.environ.get("PATH", "")]
    return shutil.which("espnet2-sop", path=os.pathsep.join(folders)) is not None


def missing(requirements: list[str]) -> list[str]:
    """The requirements (PEP 508 strings) that this Python does not meet, each with the reason."""
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:  # every environment with torch has it
        return ["packaging (not installed)"]
    found = []
    for requirement in map(Requirement, requirements):
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found.append(f"{requirement.name} (not installed)")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            found.append(f"{requirement.name} ({version}, needs {requirement.specifier})")
    return found


def main() -> None:
    extra = sys.argv[1] if len(sys.argv) > 1 else ""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    if not is_this_checkout():
        print("foreign")
    elif lacking := missing(wanted):
        print(f"missing: {', '.join(lacking)}")
    else:
        print("ready")


if __name__ == "__main__":
    main()
