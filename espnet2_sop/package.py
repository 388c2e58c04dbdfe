"""Opening model packages: folders, zips and Hugging Face repositories made by `espnet2-sop pack`."""

import hashlib
import os
import re
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from espnet2_sop.errors import UserError

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
# what `espnet2-sop pack` writes; nothing else is fetched from a hub
CONTENT = ("config.yaml", "README.md", "model.safetensors", "adapters/*", "ctc_vocab/*", "pretrained/*", "tokenizer/*")
MOST_FILES = 10_000
MOST_GROWTH = 50  # weights hardly shrink in a zip, texts ten times: what grows more was made to fill a disk
BLOCK = 2**20


def open_package(source: str | Path, revision: str | None = None) -> Path:
    """Finds a model, fetching or unpacking it where needed; nothing in it is run.

    Zips are unpacked once for each content, into `$XDG_CACHE_HOME/espnet2_sop/packages` (`~/.cache` where the
    variable is not set). What comes from the Hugging Face hub lies in the hub's own cache (`$HF_HOME`).

    Args:
        source: Run folder of `espnet2-sop train`, folder or zip of `espnet2-sop pack`, or a Hugging Face id.
        revision: Branch, tag or commit of the Hugging Face repository.

    Returns:
        A folder for `espnet2_sop.inference.load_run`.

    Raises:
        UserError: There is no such model, it cannot be fetched, or the zip is broken or would do harm.
    """
    path = Path(source).expanduser()
    if path.exists():
        if revision is not None:
            raise UserError(f"{source}: is on this machine; a revision ({revision}) goes with a Hugging Face id")
        folder = path if path.is_dir() else unpack(path)
    elif str(source).endswith(".zip") or not HUB_ID.fullmatch(str(source)):
        raise UserError(f"{source}: no such folder or zip")
    else:
        folder = fetch(str(source), revision)
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{source}: no config.yaml here; give a run folder or what `espnet2-sop pack` made")
    return folder


def fetch(name: str, revision: str | None) -> Path:
    """Downloads a package from the Hugging Face hub, or finds it in the hub's cache."""
    from huggingface_hub import snapshot_download

    from espnet2_sop.pretrained import unavailable

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(CONTENT)))
    except (OSError, ValueError) as error:
        raise unavailable(f"no folder or zip of this name, and on the Hugging Face hub {name}", name, error) from error


def cache_folder() -> Path:
    """Where zips are unpacked."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "espnet2_sop" / "packages"


def unpack(archive: Path) -> Path:
    """Unpacks a zip into a folder named by the hash of its content, all or nothing.

    Returns:
        The folder with config.yaml: the root of the zip, or the one folder in it.
    """
    try:
        with open(archive, "rb") as f:
            folder = cache_folder() / hashlib.file_digest(f, "sha256").hexdigest()
        if not folder.is_dir():
            with zipfile.ZipFile(archive) as opened:
                check_members(archive, opened)
                folder.parent.mkdir(parents=True, exist_ok=True)
                extract(archive, opened, folder)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise UserError(f"{archive}: not a zip, or broken ({error}); ask for it again") from None
    except OSError as error:
        raise UserError(f"{archive}: cannot be unpacked into {cache_folder()} ({error.strerror})") from None
    (only, *others) = [*folder.iterdir(), folder]
    return only if len(others) == 1 and only.is_dir() else folder


def check_members(archive: Path, opened: zipfile.ZipFile) -> None:
    """Refuses a zip that could write outside its folder, or fill the disk.

    Raises:
        UserError: Names the member and what is wrong with it.
    """
    members, seen = opened.infolist(), set()
    if len(members) > MOST_FILES:
        raise UserError(f"{archive}: {len(members)} files in it; a package has far fewer")
    for member in members:
        name = member.filename
        path = PurePosixPath(name)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not path.parts:
            wrong = "leads out of the package"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR) or not name.isprintable():
            wrong = "is not a plain file"
        elif str(path).casefold() in seen:
            wrong = "comes twice"
        elif member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            wrong = "is encrypted or compressed in an unusual way"
        else:
            seen.add(str(path).casefold())
            continue
        raise UserError(f"{archive}: unsafe zip, {name!r} {wrong}; nothing was unpacked")
    total, size = sum(member.file_size for member in members), archive.stat().st_size
    if total > MOST_GROWTH * size + BLOCK:
        raise UserError(f"{archive}: unsafe zip, {size} bytes would become {total}; nothing was unpacked")


def extract(archive: Path, opened: zipfile.ZipFile, folder: Path) -> None:
    """Writes checked members into `folder`, which appears only when all are there.

    A member never gives more bytes than the zip's directory says: zipfile stops there, and a wrong checksum is an
    error.
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
        if not folder.is_dir():  # another process may have been faster
            os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
