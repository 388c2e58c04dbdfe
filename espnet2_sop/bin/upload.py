"""`espnet2-sop upload`: a packed model to the Hugging Face hub."""

import argparse
from pathlib import Path

from espnet2_sop.io.errors import UserError


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop upload",
        description="Puts a folder of espnet2-sop pack on the Hugging Face hub, as one commit; the repository is made "
        "if it is not there. Needs a token with the right to write: `hf auth login` or $HF_TOKEN.",
    )
    parser.add_argument("folder", help="made by espnet2-sop pack")
    parser.add_argument("hub_id", help="repository, e.g. my-name/sop-libri3mix")
    parser.add_argument("--private", action="store_true", help="a new repository is seen by its members alone")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    folder = Path(args.folder)
    check_folder(folder)

    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalTokenNotFoundError

    from espnet2_sop.io.pretrained import reason_of
    from espnet2_sop.packaging.locate import CONTENT

    api = HfApi(library_name="espnet2_sop")
    try:
        api.create_repo(args.hub_id, private=args.private or None, exist_ok=True, token=True)
        commit = api.upload_folder(
            repo_id=args.hub_id,
            folder_path=folder,
            allow_patterns=list(CONTENT),
            delete_patterns=list(CONTENT),  # files of an older package
            commit_message="Model of espnet2-sop pack",
            token=True,
        )
    except LocalTokenNotFoundError:
        raise UserError(
            "no Hugging Face token here; `hf auth login` with one that may write, or set HF_TOKEN"
        ) from None
    except Exception as error:  # errors of the HTTP library and of the hub have no common base
        raise UserError(
            f"{args.hub_id}: not uploaded ({reason_of(error)}); check the id, the network and that your token may "
            "write there (`hf auth login`)"
        ) from error
    print(commit.commit_url)


def check_folder(folder: Path) -> None:
    """Refuses a folder that could not be loaded after the upload.

    Raises:
        UserError: The folder is no package, or lacks a pretrained part that is on no hub.
    """
    from espnet2_sop.packaging.locate import WEIGHTS, read_config

    for name in (WEIGHTS, "config.yaml", "README.md"):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: no {name} here; give a folder made by espnet2-sop pack")
    read_config(folder, packed=True)
