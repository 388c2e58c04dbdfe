"""Where things are: few rooms, and their tests in folders of the same names. Their order: [tool.importlinter]."""

from pathlib import Path

import pytest

import espnet2_sop

ROOT = Path(__file__).resolve().parents[2]
PACKAGE, TESTS = ROOT / "espnet2_sop", ROOT / "test/espnet2_sop"


def folders(root: Path, kind: str) -> set[str]:
    """The folders below root that hold Python files of a kind, relative to it."""
    return {str(path.parent.relative_to(root)) for path in root.rglob(kind)}


def test_a_newcomer_sees_few_rooms():
    entries = sorted(path.name for path in PACKAGE.iterdir() if path.name != "__pycache__")
    assert len(entries) <= 14, entries


def test_tests_stand_where_the_package_has_what_they_test():
    assert folders(TESTS, "test_*.py") - folders(PACKAGE, "*.py") == set()
    assert {name for name in folders(PACKAGE, "*.py") - folders(TESTS, "test_*.py") if "/" not in name} == set()


def test_a_name_that_the_package_does_not_have():
    with pytest.raises(AttributeError, match="module 'espnet2_sop' has no attribute 'nothing'"):
        _ = espnet2_sop.nothing
