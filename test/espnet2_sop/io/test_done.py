"""If these fail, steps are skipped though their inputs or options changed, or are done again for nothing."""

import os
from pathlib import Path

from espnet2_sop.io.done import MARK, finish, is_done, start


def test_done_until_options_or_inputs_change(tmp_path):
    source, folder = tmp_path / "in", tmp_path / "out"
    source.touch()
    options = {"path": Path("a"), "number": 1.5, "list": [Path("b")]}
    assert not is_done(folder, options, [source])
    finish(folder, options)
    assert is_done(folder, options, [source])
    assert not is_done(folder, options | {"number": 2}, [source])
    assert not is_done(folder, options, [source, tmp_path / "gone"])
    later = (folder / MARK).stat().st_mtime_ns + 10**9
    os.utime(source, ns=(later, later))
    assert not is_done(folder, options, [source])
    assert is_done(folder, options, [])
    start(folder)
    assert not is_done(folder, options, [])
    (folder / MARK).write_text("{")
    assert not is_done(folder, options, [])
