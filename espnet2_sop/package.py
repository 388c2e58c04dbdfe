"""Model packages: where one is."""

from pathlib import Path

from espnet2_sop.errors import UserError

WEIGHTS = "model.safetensors"


def open_package(source: str | Path, revision: str | None = None) -> Path:
    """The folder of a model.

    Args:
        source: Run folder of `espnet2-sop train` or folder of `espnet2-sop pack`.
        revision: Of a Hugging Face repository.

    Raises:
        UserError: There is no such model.
    """
    folder = Path(source).expanduser()
    if revision is not None or not (folder / "config.yaml").is_file():
        raise UserError(f"{source}: no config.yaml here; give a run folder or what `espnet2-sop pack` made")
    return folder
