"""The demo page as a Hugging Face Space: a folder with all that the Space runs."""

import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import requires, version
from pathlib import Path

import espnet2_sop
from espnet2_sop.io.errors import UserError
from espnet2_sop.packaging.locate import HUB_ID, WEIGHTS, open_package, read_config

APP = '''"""The page of `espnet2-sop demo`, as a Hugging Face Space."""

import sys

from espnet2_sop.bin.cli import run

sys.exit(run("demo", {options!r}))
'''
PORT = 7860  # where a Space is expected to answer


def write_space(folder: Path, model: str, revision: str | None, max_seconds: float, examples: Sequence[Path]) -> None:
    """Writes a Space and prints the command that brings it to the hub.

    The folder gets app.py, requirements.txt, README.md with the settings of the Space, this package, the examples and
    the model; a model of the hub is only named.

    Args:
        folder: New or empty.
        model: Package folder or zip, or a Hugging Face id.
        revision: Branch, tag or commit of the Hugging Face repository.
        max_seconds: Longest recording that is taken.
        examples: Audio files to offer.

    Raises:
        UserError: The folder has files; or the model is neither a Hugging Face id nor a package that has all its parts.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--space {folder}: is not empty; give a new folder")
    on_hub = not Path(model).expanduser().exists()
    if on_hub and not HUB_ID.fullmatch(model):
        raise UserError(f"{model}: no such folder or zip, nor a Hugging Face id")
    if not on_hub:
        package = open_package(model, revision)
        if not (package / WEIGHTS).is_file():
            raise UserError(f"{model}: a Space needs a package; make one with espnet2-sop pack")
        read_config(package, packed=True)
        shutil.copytree(package, folder / "model")
    folder.mkdir(parents=True, exist_ok=True)
    name = model if on_hub else "model"
    options = ["--model", name, "--host", "0.0.0.0", "--port", str(PORT), "--max_seconds", f"{max_seconds:g}"]
    if revision:
        options += ["--revision", revision]
    if examples:
        options += ["--examples", "examples"]
        (folder / "examples").mkdir()
        for file in examples:
            shutil.copyfile(file, folder / "examples" / file.name)
    code = Path(espnet2_sop.__file__).parent
    shutil.copytree(code, folder / code.name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "app.py").write_text(APP.format(options=options))
    (folder / "requirements.txt").write_text("\n".join(requirements()) + "\n")
    (folder / "README.md").write_text(readme(model if on_hub else None))
    print(f"{folder} is ready; put it on the hub: hf upload my-name/my-space {folder} . --repo-type space")


def requirements() -> list[str]:
    """What the package needs without its extras; a Space brings gradio itself, in the version of its README."""
    return [line for line in requires("espnet2_sop") or [] if "extra ==" not in line]


def readme(hub_id: str | None) -> str:
    """README.md of the Space: its settings, and what it is.

    Args:
        hub_id: Of the model, if it is on the hub.
    """
    from huggingface_hub import SpaceCardData

    settings = SpaceCardData(
        title="Who said what?",
        sdk="gradio",
        sdk_version=version("gradio"),
        python_version=f"{sys.version_info.major}.{sys.version_info.minor}",
        app_file="app.py",
        models=[hub_id] if hub_id else None,
    )
    return (
        f"---\n{settings.to_yaml()}\n---\n\nTranscribes recordings in which several people talk at once, with "
        "Serialized Output Prompting. Written by `espnet2-sop demo --space`.\n"
    )
