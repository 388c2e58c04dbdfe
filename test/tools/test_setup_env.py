"""tools/setup_env.sh: the environment is made once, never half, and an active one is respected."""

import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SETUP = "tools/setup_env.sh"


def answer(checkout) -> str:
    return f"{checkout.root}/tools/venv/bin\n"


def test_every_dependency_has_a_tested_version_in_its_range():
    """Else a set-up of tomorrow installs what nobody has tried."""
    lines = (ROOT / "tools/constraints.txt").read_text().splitlines()
    tested = {canonicalize_name(r.name): r for r in map(Requirement, filter(re.compile("[^#]").match, lines))}
    assert all(re.fullmatch(r"==[\w.]+", str(r.specifier)) and not r.url for r in tested.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for asked in map(Requirement, project["dependencies"] + project["optional-dependencies"]["test"]):
        version = str(tested[canonicalize_name(asked.name)].specifier).removeprefix("==")
        assert asked.specifier.contains(version), asked


def test_versions_are_those_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = re.search(r"^versions=\((.*?)\)", (ROOT / SETUP).read_text(), re.MULTILINE)[1].split()
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups()
    assert sorted(versions) == [f"3.{minor}" for minor in range(int(low), int(high))]


def test_no_fitting_python_is_one_line(checkout):
    for name in ("python3.13", "python3.12", "python"):  # such as pyenv's shims of versions that are not chosen
        checkout.script(checkout.bin / name, "#!/usr/bin/env bash\necho not found >&2\nexit 127\n")
    checkout.add_python("python3")
    failed = checkout.run(SETUP, FAKE_VERSION="3.11")
    assert failed.returncode == 1 and failed.stdout == ""
    assert failed.stderr.startswith("setup_env.sh: error: no Python 3.12 or 3.13 found on PATH, in pyenv or in uv: ")
    assert failed.stderr.count("\n") == 1
    assert not (checkout.root / "tools/venv").exists()


def test_a_python_without_venv_is_named(checkout):
    checkout.script(checkout.bin / "python3.12", checkout.PYTHON.replace('"-c import ensurepip, venv") ;;', ""))
    failed = checkout.run(SETUP)
    assert failed.returncode == 1 and failed.stderr.count("\n") == 1
    assert f"{checkout.bin}/python3.12 lacks the venv module" in failed.stderr


def test_a_failing_name_on_path_does_not_hide_pyenv_or_uv(checkout, tmp_path):
    checkout.script(checkout.bin / "python3.12", "#!/usr/bin/env bash\nexit 127\n")
    checkout.script(tmp_path / ".pyenv/versions/3.13.2/bin/python", checkout.PYTHON)
    assert checkout.run(SETUP, FAKE_VERSION="3.13").stdout == answer(checkout)


def test_made_once_then_only_what_changed(checkout):
    checkout.add_python()
    first = checkout.run(SETUP)
    assert (first.returncode, first.stdout) == (0, answer(checkout)), first.stderr
    assert "Successfully installed" in first.stderr and "Collecting" not in first.stderr
    assert "Collecting nothing" in (checkout.root / "tools/setup_env.log").read_text()
    made = ["venv", f"pip {checkout.root}"]
    assert checkout.calls() == made

    start = time.monotonic()
    again = checkout.run(SETUP)
    assert time.monotonic() - start < 0.5
    assert (again.stdout, again.stderr) == (answer(checkout), "")
    assert checkout.calls() == made

    made.append(f"pip {checkout.root}[test]")
    assert checkout.run(SETUP, "--test").returncode == 0
    assert checkout.run(SETUP).returncode == 0
    assert checkout.calls() == made

    for name in ("setup.py", "tools/constraints.txt"):
        with open(checkout.root / name, "a") as f:
            f.write("# changed\n")
        made.append(f"pip {checkout.root}[test]")
        assert checkout.run(SETUP).returncode == 0
        assert checkout.calls() == made


def test_refresh_installs_the_newest_and_writes_them_down(checkout):
    checkout.add_python()
    checkout.run(SETUP)
    made = checkout.run(SETUP, "--refresh", VIRTUAL_ENV=f"{checkout.root}/tools/venv")
    assert (made.returncode, made.stdout) == (0, answer(checkout)), made.stderr
    assert checkout.calls()[2:] == ["venv", f"pip of the newest {checkout.root}[test]"]
    comment, *versions = (checkout.root / "tools/constraints.txt").read_text().splitlines()
    assert comment.startswith("# ") and versions == ["numpy==2.0", "torch==2.13.0"]
    again = checkout.run(SETUP, "--test")
    assert (again.stdout, again.stderr) == (answer(checkout), "")


def test_a_moved_checkout_gets_a_new_environment(checkout, tmp_path):
    checkout.add_python()
    checkout.run(SETUP)
    checkout.root = checkout.root.rename(tmp_path / "moved")
    assert checkout.run(SETUP).stdout == answer(checkout)
    assert checkout.calls()[2:] == ["venv", f"pip {checkout.root}"]


@pytest.mark.parametrize("end", ["failed", "killed"])
def test_an_unfinished_environment_is_made_anew(checkout, end):
    checkout.add_python()
    if end == "failed":
        failed = checkout.run(SETUP, INSTALL_STATUS="1")
        assert failed.returncode == 1 and failed.stdout == ""
        assert "the installation failed; the reason stands in" in failed.stderr
    else:
        process = checkout.popen(SETUP, INSTALL_SECONDS="1")
        while len(checkout.calls()) < 2:
            time.sleep(0.02)
        process.kill()
        process.wait()
    left = checkout.root / "tools/venv/left_over"
    left.touch()
    assert checkout.run(SETUP).stdout == answer(checkout)
    assert checkout.calls().count("venv") == 2 and not left.exists()


def test_an_incomplete_installation_is_not_taken_as_done(checkout):
    checkout.add_python()
    failed = checkout.run(SETUP, FAKE_STATE="missing: peft (not installed)")
    assert failed.returncode == 1
    assert "missing: peft" in failed.stderr.splitlines()[-1]
    assert not (checkout.root / "tools/venv/.complete").exists()


def test_another_folder_in_its_place_is_left_alone(checkout):
    checkout.add_python()
    mine = checkout.root / "tools/venv/notes.txt"
    mine.parent.mkdir()
    mine.touch()
    failed = checkout.run(SETUP)
    assert failed.returncode == 1 and "is no Python environment" in failed.stderr
    assert mine.exists() and checkout.calls() == []


def test_two_calls_at_once_install_once(checkout):
    checkout.add_python()
    both = [checkout.popen(SETUP, INSTALL_SECONDS="0.7") for _ in range(2)]
    outputs = [process.communicate(timeout=30) for process in both]
    assert [out for out, _ in outputs] == [answer(checkout)] * 2
    assert checkout.calls() == ["venv", f"pip {checkout.root}"]
    assert sum("another call is installing" in err for _, err in outputs) == 1


def test_uv_is_preferred_and_finds_its_python(checkout, tmp_path):
    python = checkout.script(tmp_path / "uv_python/bin/python", checkout.PYTHON)
    checkout.script(
        checkout.bin / "uv",
        f"""#!/usr/bin/env bash
case "$1" in
    python) [[ ${{*: -1}} == 3.13 ]] && echo "{python}" ;;
    venv) "${{@: -2:1}}" -m venv "${{@: -1}}" && echo "uv venv" >>"$CALLS" ;;
    pip) echo "uv ${{*:2}}" >>"$CALLS" ;;
esac
""",
    )
    assert checkout.run(SETUP, FAKE_VERSION="3.13").stdout == answer(checkout)
    place = f"{checkout.root}/tools/venv/bin/python"
    tested = f"{checkout.root}/tools/constraints.txt"
    assert checkout.calls() == ["venv", "uv venv", f"uv install --python {place} -c {tested} -e {checkout.root}"]


def test_an_active_environment_is_used_as_it_is(checkout, tmp_path):
    checkout.script(tmp_path / "mine/bin/python", checkout.PYTHON)
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        used = checkout.run(SETUP, **{variable: str(tmp_path / "mine")})
        assert (used.stdout, used.stderr) == (f"{tmp_path}/mine/bin\n", "")
    checkout.add_python("python3")
    assert checkout.run(SETUP).stdout == f"{checkout.bin}\n"
    assert checkout.calls() == []


def test_an_active_environment_that_lacks_a_package_is_an_error(checkout, tmp_path):
    checkout.script(tmp_path / "mine/bin/python", checkout.PYTHON)
    checkout.add_python()
    state = "missing: peft (not installed)"
    failed = checkout.run(SETUP, "--test", VIRTUAL_ENV=str(tmp_path / "mine"), FAKE_STATE=state)
    assert failed.returncode == 1 and failed.stderr.count("\n") == 1
    assert state in failed.stderr
    assert failed.stderr.endswith(f"run: {tmp_path}/mine/bin/python -m pip install -e '{checkout.root}[test]'\n")
    assert checkout.calls() == []


@pytest.mark.parametrize(
    ("line", "instead", "reason"),
    [
        ("FAKE_VERSION:-3.12", "OWN:-3.11", "its Python 3.11 does not fit, needed is Python 3.12 or 3.13"),
        ("case", "exit 1", "its Python does not run, needed is Python 3.12 or 3.13"),
        ("FAKE_STATE:-ready", "OWN:-foreign", "espnet2_sop of this checkout is not installed in it; to use it: "),
    ],
)
def test_an_active_environment_of_another_kind_is_said_once(checkout, tmp_path, line, instead, reason):
    checkout.script(tmp_path / "mine/bin/python", checkout.PYTHON.replace(line, instead, 1))
    checkout.add_python()
    active = {"VIRTUAL_ENV": str(tmp_path / "mine")}
    first = checkout.run(SETUP, **active)
    assert first.stdout == answer(checkout)
    note = f"setup_env.sh: the active environment {tmp_path}/mine is not used: {reason}"
    assert first.stderr.splitlines()[0].startswith(note)
    again = checkout.run(SETUP, **active)
    assert (again.stdout, again.stderr) == (answer(checkout), "")


def test_unknown_option(checkout):
    failed = checkout.run(SETUP, "--tests")
    assert failed.returncode == 1
    assert failed.stderr == "setup_env.sh: error: unknown option '--tests'; there are --test and --refresh\n"


class TestCheckEnv:
    """tools/check_env.py with a real Python whose only packages are bare metadata."""

    @pytest.fixture
    def site(self, checkout, tmp_path) -> Path:
        site = tmp_path / "site"
        project = tomllib.loads((checkout.root / "pyproject.toml").read_text())["project"]
        for requirement in project["dependencies"]:
            self.install(site, re.match(r"[\w-]+", requirement)[0], "2.11.0" if "torch" in requirement else "209912")
        import packaging

        (site / "packaging").symlink_to(Path(packaging.__file__).parent)
        checkout.script(tmp_path / "bin/espnet2-sop", "#!/usr/bin/env bash\n")
        return site

    @staticmethod
    def install(site: Path, name: str, version: str) -> None:
        for old in site.glob(f"{name}-*.dist-info/METADATA"):
            old.unlink()
            old.parent.rmdir()
        folder = site / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    @staticmethod
    def check(checkout, *paths: Path, extra: str = "") -> str:
        env = {"PATH": str(checkout.bin), "PYTHONPATH": os.pathsep.join(map(str, paths))}
        command = [sys.executable, "-S", str(checkout.root / "tools/check_env.py"), extra]
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=True).stdout.strip()

    def test_ready(self, checkout, site):
        assert self.check(checkout, checkout.root, site) == "ready"

    def test_missing_and_outdated_are_named(self, checkout, site):
        (site / "peft-209912.dist-info/METADATA").unlink()
        (site / "peft-209912.dist-info").rmdir()
        self.install(site, "torch", "2.12.1")
        state = self.check(checkout, checkout.root, site)
        assert re.fullmatch(r"missing: torch \(2\.12\.1, needs \S+\), peft \(not installed\)", state)

    def test_extra_adds_its_own(self, checkout, site):
        assert "hypothesis (not installed)" in self.check(checkout, checkout.root, site, extra="test")

    def test_package_of_another_place_or_none_is_foreign(self, checkout, site, tmp_path):
        assert self.check(checkout, site) == "foreign"
        (tmp_path / "other/espnet2_sop").mkdir(parents=True)
        (tmp_path / "other/espnet2_sop/__init__.py").touch()
        assert self.check(checkout, tmp_path / "other", site) == "foreign"
