"""A scratch checkout with its own scripts, and a PATH with no Python but the stand-ins that a test puts there."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "bash basename cat cksum cp cut date dirname env find flock grep head ln ls mkdir mv nproc paste printf readlink "
    "rm sed seq sleep sort tail tee touch tr true uname wc xargs"
)

# A Python that only says its version, makes an empty environment, "installs", and answers for check_env.py.
PYTHON = """#!/usr/bin/env bash
case "$*" in
    *version_info*) echo "${FAKE_VERSION:-3.12}" ;;
    "-c import ensurepip, venv") ;;
    "-m venv "*)
        echo venv >>"$CALLS"
        mkdir -p "$3/bin"
        ln -s "$(readlink -f "$0")" "$3/bin/python"
        ln -s python "$3/bin/python3"
        echo "version = 3.12.1" >"$3/pyvenv.cfg"
        ;;
    "-m pip install "*)
        [[ "$*" == *" -c "*"/tools/constraints.txt -e "* ]] && kind=pip || kind="pip of the newest"
        echo "$kind ${*: -1}" >>"$CALLS"
        echo "Collecting nothing"
        sleep "${INSTALL_SECONDS:-0}"
        echo "Successfully installed nothing"
        exit "${INSTALL_STATUS:-0}"
        ;;
    *freeze*) printf 'numpy==2.0\ntorch==2.13.0+cpu\ncertifi==1\n' ;;
    *check_env.py*) echo "${FAKE_STATE:-ready}" ;;
    *) exit 1 ;;
esac
"""


@dataclass
class Checkout:
    """A copy of the scripts in `root`, run with PATH `bin` and no home; `calls` lists what the stand-ins did."""

    root: Path
    bin: Path
    env: dict[str, str] = field(default_factory=dict)

    PYTHON = PYTHON

    @staticmethod
    def script(path: Path, text: str) -> Path:
        """Writes an executable script."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def popen(self, *command: str, cwd: Path | None = None, **env: str) -> subprocess.Popen:
        return subprocess.Popen(
            command,
            cwd=cwd or self.root,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess:
        process = self.popen(*command, cwd=cwd, **env)
        out, err = process.communicate(timeout=30)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def calls(self) -> list[str]:
        path = Path(self.env["CALLS"])
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def add_python(self, name: str = "python3.12") -> None:
        self.script(self.bin / name, PYTHON)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / """a 'check$(id)out' "* &;"""  # everything must be quoted
    for name in ("run.sh", "setup.py", "pyproject.toml", "espnet2_sop/__init__.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    ignored = shutil.ignore_patterns("venv", "*.log", ".*", "__pycache__")
    shutil.copytree(ROOT / "tools", root / "tools", ignore=ignored)
    shutil.copytree(ROOT / "egs2/TEMPLATE", root / "egs2/TEMPLATE", ignore=ignored)
    recipe = root / "egs2/tiny/sop_asr1"
    recipe.mkdir(parents=True)
    for name in ("path.sh", "cmd.sh", "job.sh", "sop.sh"):
        (recipe / name).symlink_to(f"../../TEMPLATE/sop_asr1/{name}")
    Checkout.script(recipe / "run.sh", '#!/usr/bin/env bash\nexec ./sop.sh "$@"\n')

    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in COMMANDS.split():
        if place := shutil.which(name):
            (bin_folder / name).symlink_to(place)
    env = {"PATH": str(bin_folder), "HOME": str(tmp_path), "CALLS": str(tmp_path / "calls"), "LC_ALL": "C"}
    return Checkout(root, bin_folder, env | {k: v for k, v in os.environ.items() if k == "TMPDIR"})
