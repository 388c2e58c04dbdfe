"""If these fail, old results pass for those of new options, or are made again for nothing."""

import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.provenance import END, NAME, changes, fingerprint, listed, write_origin


def test_nothing_changes_until_an_option_or_a_file_does(tmp_path):
    origin = {"options": {"beam": 1, "conf": {"lr": 0.1, "betas": (0.9, 0.99)}}, "files": {"a": "1 bytes"}}
    assert changes(tmp_path, origin) is None
    write_origin(tmp_path, origin)
    assert changes(tmp_path, origin) == []
    later = {"options": {"beam": 2, "conf": {"lr": 0.1}, "mode": "sop"}, "files": {"a": "1 bytes"}}
    assert changes(tmp_path, later) == [
        "options.beam was 1, is 2",
        "options.conf.betas was [0.9, 0.99], is null",
        'options.mode was null, is "sop"',
    ]
    (tmp_path / NAME).write_text("{")
    assert changes(tmp_path, origin) is None


def test_message_names_the_first_changes():
    assert listed(["a", "b"]) == "a; b"
    assert listed(list("abcde")) == "a; b; c; and 2 more"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "cannot be read (Is a directory)"),
        ("file/a.wav", "cannot be read (Not a directory)"),
        ("a" * 300, "cannot be read (File name too long)"),
        ("a\0b", "cannot be read (embedded null byte)"),
        ("none", "no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path, path, reason):
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as refused:
        fingerprint(tmp_path / path)
    assert str(refused.value).endswith(f": {reason}")


def test_fingerprint_sees_both_ends_and_the_size(tmp_path):
    path = tmp_path / "file"
    body = bytearray(2 * END + 100)
    seen = set()
    for place in (None, 0, len(body) - 1):
        if place is not None:
            body[place] ^= 1
        path.write_bytes(body)
        seen.add(fingerprint(path))
        assert fingerprint(path) == fingerprint(path)
    path.write_bytes(body + b"\0")
    seen.add(fingerprint(path))
    path.write_bytes(b"")
    seen.add(fingerprint(path))
    assert len(seen) == 5
