"""Zips of packages: the same content gives the same bytes; unsafe zips are refused."""

import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_path

MOST_FILES = 10_000
MOST_GROWTH = 50  # weights hardly shrink in a zip, texts ten times: what grows more was made to fill a disk
BLOCK = 2**20


def write_zip(folder: Path, archive: Path) -> None:
    """Packs a folder into a zip, under its own name; the same files give the same bytes, whatever their dates are.

    Args:
        folder: Folder to pack.
        archive: Zip to write, whole or not at all.
    """
    with atomic_path(archive) as part, zipfile.ZipFile(part, "w") as zipped:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = zipfile.ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            member.file_size = path.stat().st_size
            if path.suffix != ".safetensors":
                member.compress_type = zipfile.ZIP_DEFLATED
            with open(path, "rb") as source, zipped.open(member, "w") as target:
                shutil.copyfileobj(source, target, BLOCK)


def cache_folder() -> Path:
    """The folder in which zips are unpacked."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "espnet2_sop" / "packages"


def unpack(archive: Path) -> Path:
    """Unpacks a zip into a folder of `cache_folder` named by the hash of its content, all or nothing.

    Returns:
        That folder, or the only folder in it.

    Raises:
        UserError: The zip is broken or would do harm, or there is no room.
    """
    try:
        with open(archive, "rb") as f:
            folder = cache_folder() / hashlib.file_digest(f, "sha256").hexdigest()
        if not folder.is_dir():
            with zipfile.ZipFile(archive) as opened:
                check_members(archive, opened)
                folder.parent.mkdir(parents=True, exist_ok=True)
                extract(archive, opened, folder)
    except OSError as error:
        raise UserError(f"{archive}: cannot be unpacked into {cache_folder()} ({error.strerror})") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise UserError(f"{archive}: not a zip, or broken ({error}); ask for it again") from None
    inside = [*folder.iterdir()]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def check_members(archive: Path, opened: zipfile.ZipFile) -> None:
    """Refuses a zip that could write outside its folder, or fill the disk.

    Args:
        archive: The zip, for its size and for messages.
        opened: The same zip, open.

    Raises:
        UserError: Names the member and what is wrong with it.
    """
    members, seen = opened.infolist(), set()
    if len(members) > MOST_FILES:
        raise UserError(f"{archive}: unsafe zip, {len(members)} files; nothing was unpacked")
    for member in members:
        name, path = member.filename, PurePosixPath(member.filename)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not path.parts:
            wrong = "leads out of the package"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR) or not name.isprintable():
            wrong = "is not a plain file"
        elif str(path).casefold() in seen:
            wrong = "comes twice"
        elif member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            wrong = "is encrypted or compressed in an unusual way"  # others can grow in memory without a limit
        else:
            seen.add(str(path).casefold())
            continue
        raise UserError(f"{archive}: unsafe zip, {name!r} {wrong}; nothing was unpacked")
    total, size = sum(member.file_size for member in members), archive.stat().st_size
    if total > MOST_GROWTH * size + BLOCK:
        raise UserError(f"{archive}: unsafe zip, {size} bytes would become {total}; nothing was unpacked")


def extract(archive: Path, opened: zipfile.ZipFile, folder: Path) -> None:
    """Writes the members of a checked zip into a folder, all or nothing.

    A member never gives more bytes than the zip's directory says: zipfile stops there, and then the checksum is wrong.

    Args:
        archive: The zip, for messages.
        opened: The same zip, open, its members checked.
        folder: Folder to make.

    Raises:
        UserError: There is too little room.
    """
    total, free = sum(member.file_size for member in opened.infolist()), shutil.disk_usage(folder.parent).free
    if total > free:
        raise UserError(f"{archive}: needs {total / 2**30:.1f} GB in {folder.parent}, {free / 2**30:.1f} GB are free")
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name[:16]}.", suffix=".part", dir=folder.parent))
    try:
        for member in opened.infolist():
            path = part / member.filename
            if member.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(member) as source, open(path, "xb") as target:
                shutil.copyfileobj(source, target, BLOCK)
        try:
            os.replace(part, folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster with the same content
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
