"""run.sh: the one way in. It must explain itself at once and refuse nonsense before anything is installed."""

import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_help_comes_at_once_and_holds_the_drivers_own():
    start = time.monotonic()
    shown = subprocess.run(["./run.sh", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert time.monotonic() - start < 1
    driver = subprocess.run(["egs2/TEMPLATE/sop_asr1/sop.sh", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert shown.stderr == ""
    assert driver.stdout and shown.stdout.endswith(driver.stdout)
    for option in ("--recipe", "--test", "--stage", "--stop_stage", "--ngpu", "--nj", "--expdir"):
        assert option in shown.stdout


def test_help_lists_the_recipes_and_sets_nothing_up(checkout):
    shown = checkout.run("./run.sh", "--help")
    assert shown.returncode == 0
    assert "one of: tiny (default: mini_librimix)" in shown.stdout
    assert not (checkout.root / "tools/venv").exists()


def test_unknown_recipe_is_one_line_with_the_list(checkout):
    checkout.script(checkout.root / "egs2/other/sop_asr1/run.sh", "#!/usr/bin/env bash\n")
    for wrong in (["--recipe", "libri"], ["--recipe=tin"], ["--recipe", "TEMPLATE"], ["--recipe", ""]):
        failed = checkout.run("./run.sh", *wrong)
        assert failed.returncode == 1
        assert failed.stderr.startswith("run.sh: error: no recipe '")
        assert failed.stderr.endswith("one of: other tiny\n") and failed.stderr.count("\n") == 1
    failed = checkout.run("./run.sh", "--recipe")
    assert failed.returncode == 1
    assert failed.stderr == "run.sh: error: --recipe needs a name; one of: other tiny\n"


def test_unknown_option_is_one_line_before_any_set_up(checkout):
    checkout.add_python()
    for wrong in ("--stag", "--stag=3"):
        failed = checkout.run("./run.sh", "--recipe", "tiny", wrong, *["3"] * ("=" not in wrong))
        assert failed.returncode != 0
        assert "--stag" in failed.stderr and failed.stderr.count("\n") == 1
    assert not (checkout.root / "tools/venv").exists() and checkout.calls() == []


def test_other_options_reach_the_recipe_as_they_are(checkout):
    checkout.script(checkout.root / "egs2/other/sop_asr1/run.sh", '#!/usr/bin/env bash\npwd\nprintf "[%s]" "$@"\n')
    done = checkout.run("./run.sh", "--stage", "3", "--recipe", "other", "--train_args", "--max_epoch 1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{checkout.root}/egs2/other/sop_asr1\n[--stage][3][--train_args][--max_epoch 1]"


def test_a_recipe_starts_from_another_folder_and_prepares_the_environment(checkout, tmp_path):
    checkout.add_python()
    checkout.script(
        checkout.root / "egs2/other/sop_asr1/run.sh",
        '#!/usr/bin/env bash\nset -euo pipefail\n. ./path.sh\necho "$(command -v python3) $VIRTUAL_ENV"\n',
    )
    (checkout.root / "egs2/other/sop_asr1/path.sh").symlink_to("../../TEMPLATE/sop_asr1/path.sh")
    done = checkout.run(str(checkout.root / "run.sh"), "--recipe", "other", cwd=tmp_path)
    venv = checkout.root / "tools/venv"
    assert done.stdout == f"{venv}/bin/python3 {venv}\n"
    assert done.returncode == 0


def test_a_failed_set_up_ends_the_run(checkout):
    failed = checkout.run("./run.sh", "--recipe", "tiny")
    assert failed.returncode == 1
    assert "setup_env.sh: error: no Python 3.12 or 3.13 found" in failed.stderr and failed.stderr.count("\n") == 1


def test_test_passes_its_options_to_pytest(checkout):
    checkout.script(checkout.root / "tools/test.sh", '#!/usr/bin/env bash\nprintf "[%s]" "$@"\n')
    assert checkout.run("./run.sh", "--test", "quick", "-k", "cp or order").stdout == "[quick][-k][cp or order]"


CHECKS = ["git ls-files", "shellcheck -x", "ruff check", "ruff format", "lint-imports --no-cache"]


def add_checkers(checkout, **status: int) -> None:
    """Stand-ins that note their first word; status gives those that fail."""
    for name in ("git", "shellcheck", "ruff", "lint-imports"):
        code = status.get(name, 0)
        checkout.script(checkout.bin / name, f'#!/usr/bin/env bash\necho "{name} $1" >>"$CALLS"\nexit {code}\n')


def test_checks_all_run_and_any_failure_fails(checkout):
    checkout.add_python()
    add_checkers(checkout, ruff=1, **{"lint-imports": 1})
    failed = checkout.run("./run.sh", "--test")
    assert failed.returncode == 1
    assert failed.stderr.endswith("test.sh: error: failed: ruff check ruff format order of the layers pytest\n")
    assert checkout.calls() == ["venv", f"pip {checkout.root}[test]", *CHECKS]


@pytest.mark.parametrize(
    ("given", "selected"),
    [((), ""), (("-k", "a b"), "[-k][a b]"), (("quick",), "[-m][not slow]"), (("quick", "-x"), "[-m][not slow][-x]")],
)
def test_quick_leaves_out_the_slow_tests(checkout, given, selected):
    says = """    "-m pytest"*) printf "[%s]" "${@:3}" >&2 ;;\n"""
    first, case, rest = checkout.PYTHON.partition('    "-m venv')
    checkout.script(checkout.bin / "python3.12", first + says + case + rest)
    add_checkers(checkout)
    done = checkout.run("./run.sh", "--test", *given)
    assert done.returncode == 0
    assert done.stderr.endswith(selected or "[]")
