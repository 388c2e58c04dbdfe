"""Zips from strangers: what would write elsewhere, fill the disk or come to pieces is refused before it is there."""

import stat
import zipfile

import pytest

from espnet2_sop.io.errors import UserError
from espnet2_sop.packaging import archive


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/espnet2_sop/packages"


def zip_of(path, *members, compression=zipfile.ZIP_STORED):
    """Members are (name, content) or (name, content, mode)."""
    with zipfile.ZipFile(path, "w", compression) as zipped:
        for name, content, *mode in members:
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.compress_type = compression
            info.external_attr = (mode or [0o100644])[0] << 16
            zipped.writestr(info, content)
    return path


def unsafe(path, message):
    with pytest.raises(UserError, match=message) as error:
        archive.unpack(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("m/config.yaml", "a: 1"), ("../evil", "x")], r"'../evil' leads out of the package; nothing was unpacked"),
        ([("m/../../evil", "x")], "leads out"),
        ([("/tmp/evil", "x")], "leads out"),
        ([("m\\..\\..\\evil", "x")], "leads out"),
        ([("C:/evil", "x")], "leads out"),
        ([("m", "/etc", stat.S_IFLNK | 0o777), ("m/passwd", "x")], "'m' is not a plain file"),
        ([("m/fifo", "", stat.S_IFIFO | 0o644)], "is not a plain file"),
        ([("m/null", "", stat.S_IFCHR | 0o666)], "is not a plain file"),
        ([("m/\x1b[2Jx", "x")], r"'m/\\x1b\[2Jx' is not a plain file"),
        ([("m/a", "x"), ("m/./a", "y")], "comes twice"),
        ([("m/a", "x"), ("m/A", "y")], "comes twice"),
        ([(f"m/{number}", "") for number in range(10_001)], "10001 files"),
        ([("m", "x"), ("m/a", "y")], "cannot be unpacked into"),
    ],
)
def test_members_that_do_harm(cache, tmp_path, members, message):
    unsafe(zip_of(tmp_path / "model.zip", *members), message)
    assert not [*tmp_path.rglob("*evil*"), *tmp_path.rglob("passwd")]
    assert not cache.exists() or not any(cache.iterdir())


def test_bombs(cache, tmp_path, monkeypatch):
    bomb = zip_of(tmp_path / "bomb.zip", ("m/a", bytes(2**24)), compression=zipfile.ZIP_DEFLATED)
    unsafe(bomb, r"bomb.zip: unsafe zip, \d+ bytes would become 16777216; nothing was unpacked")
    unsafe(zip_of(tmp_path / "x.zip", ("a", "x" * 9), compression=zipfile.ZIP_LZMA), "compressed in an unusual way")
    plain = zip_of(tmp_path / "plain.zip", ("m/a", bytes(2**20)))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 2**19}))
    unsafe(plain, "needs 0.0 GB in .* are free")


def test_a_zip_that_says_less_than_it_holds(cache, tmp_path):
    """The limits are checked on the sizes of the directory, so no member may give more."""
    path = zip_of(tmp_path / "liar.zip", ("m/a", bytes(2**20)), compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = data.index(signature) + offset
        data[place : place + 4] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    unsafe(path, "broken")
    assert not [*cache.glob("*"), *cache.glob(".*")]


def test_broken_zips_leave_nothing(cache, tmp_path):
    path = zip_of(tmp_path / "model.zip", ("m/config.yaml", "a: 1"), ("m/weights", bytes(range(256)) * 8))
    data = path.read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    (tmp_path / "flipped.zip").write_bytes(data.replace(bytes(range(256)), bytes(256), 1))
    for name in ("cut.zip", "flipped.zip"):
        unsafe(tmp_path / name, "not a zip, or broken")
    assert not cache.exists() or not [*cache.glob("*"), *cache.glob(".*")]


def test_unpacked_once_for_each_content(cache, tmp_path):
    path = zip_of(tmp_path / "model.zip", ("m/config.yaml", "a: 1"), ("m/sub/b", "2"))
    folder = archive.unpack(path)
    assert folder.parent.parent == cache and folder.name == "m" and (folder / "sub/b").read_text() == "2"
    made = (folder / "sub/b").stat().st_mtime_ns
    assert archive.unpack(path.rename(tmp_path / "other.zip")) == folder
    assert (folder / "sub/b").stat().st_mtime_ns == made
    flat = archive.unpack(zip_of(tmp_path / "flat.zip", ("config.yaml", "a: 2")))
    assert flat.parent == cache and (flat / "config.yaml").read_text() == "a: 2"
    assert not [*cache.glob(".*")]


def test_same_files_same_bytes(tmp_path):
    """A package that is made again must not be unpacked again, nor look like another one."""
    zips = []
    for number, content in enumerate((b"\0" * 999, b"\0" * 999, b"\1" * 999)):
        folder = tmp_path / str(number) / "model"
        (folder / "sub").mkdir(parents=True)
        (folder / "sub/weights.safetensors").write_bytes(content)
        (folder / "config.yaml").write_text("a: 1")
        archive.write_zip(folder, folder.with_suffix(".zip"))
        zips.append(folder.with_suffix(".zip").read_bytes())
    assert zips[0] == zips[1] != zips[2]
    with zipfile.ZipFile(tmp_path / "0/model.zip") as zipped:
        assert zipped.namelist() == ["model/config.yaml", "model/sub/weights.safetensors"]
        assert zipped.testzip() is None
