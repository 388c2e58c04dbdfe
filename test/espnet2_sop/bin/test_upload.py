"""A package goes to the hub and comes back; the hub is a transport that answers as the real one."""

import base64
import hashlib
import importlib
import json
import re

import huggingface_hub
import pytest
import yaml

from espnet2_sop.bin import upload
from espnet2_sop.io.errors import UserError
from espnet2_sop.packaging.locate import open_package

# the HTTP library of the hub's client, which is not the same in all of its versions
httpx = importlib.import_module(type(huggingface_hub.get_session()).__module__.partition(".")[0])
COMMIT = "c" * 40
FILES = {
    "model.safetensors": b"\x02\0\0\0\0\0\0\0{}",
    "README.md": b"---\nlicense: apache-2.0\n---\n# model\n",
    "ctc_vocab/vocabulary.json": b"{}",
    "tokenizer/tokenizer.json": b"{}",
    "adapters/sot/adapter_config.json": b"{}",
}


class Hub:
    """One repository: what was asked, and its files."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.created: list[dict] = []
        self.unsigned: list[str] = []

    def entry(self, name: str) -> dict:
        data = self.files[name]
        return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def __call__(self, request):
        path, body = request.url.path, request.read()
        if "model" in path and request.headers.get("authorization") != "Bearer hf_secret":
            self.unsigned.append(path)
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return self.json({"url": "https://huggingface.co/me/model", "id": "1"})
        if path == "/api/validate-yaml":
            return self.json({"errors": [], "warnings": []})
        if "/preupload/" in path:
            names = [file["path"] for file in json.loads(body)["files"]]
            return self.json(
                {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]}
            )
        if "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                elif line["key"] == "deletedFile":
                    del self.files[line["value"]["path"]]
            return self.json({"commitUrl": f"https://huggingface.co/me/model/commit/{COMMIT}", "commitOid": COMMIT})
        if "/tree/" in path:
            return self.json([self.entry(name) for name in self.files])
        if path.startswith("/api/models/"):
            return self.json({"id": "me/model", "sha": COMMIT, "siblings": [{"rfilename": n} for n in self.files]})
        data = self.files[re.fullmatch(r"/me/model/resolve/\w+/(.*)", path)[1]]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        return httpx.Response(200, content=data, headers=headers)

    @staticmethod
    def json(content):
        return httpx.Response(200, json=content)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Sets who answers: hub(function of the request)."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def answer_with(answer):
        huggingface_hub.set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(answer)))
        return answer

    yield answer_with
    huggingface_hub.set_client_factory(httpx.Client)


@pytest.fixture
def package(tmp_path):
    """A folder that looks like a package, with files of the user's beside what belongs to it."""
    sections = {f"{part}_conf": {} for part in ("downsampler", "separator", "prompt", "model")}
    config = sections | {"encoder": "huggingface", "separator": "lstm", "ctc_vocab": "ctc_vocab", "num_talkers": 3}
    config |= {"encoder_conf": {"pretrained": "microsoft/wavlm-large"}, "llm_conf": {"pretrained": "me/llm"}}
    files = FILES | {"config.yaml": yaml.safe_dump(config).encode(), "notes.txt": b"x", "checkpoint.pth": b"x"}
    for name, data in files.items():
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_bytes(data)
    return tmp_path / "model"


def test_there_and_back(hub, package, capsys):
    server = hub(Hub())
    server.files = {"old.txt": b"mine", "adapters/old/adapter_config.json": b"{}"}
    upload.main([str(package), "me/model", "--private"])
    assert capsys.readouterr().out.splitlines()[-1] == f"https://huggingface.co/me/model/commit/{COMMIT}"
    assert server.created[0]["visibility"] == "private" and server.unsigned == []
    sent = {**FILES, "config.yaml": (package / "config.yaml").read_bytes()}
    assert server.files == {**sent, "old.txt": b"mine"}, "files of an older package are gone, others stay"
    server.files["evil.py"] = b"x"
    folder = open_package("me/model")
    assert {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == sent
    assert open_package("me/model", revision=COMMIT) == folder

    def offline(request):
        raise httpx.ConnectError("no network")

    hub(offline)
    assert open_package("me/model") == folder
    with pytest.raises(
        UserError, match="^me/other: no such folder here, and on the Hugging Face hub it cannot be load"
    ):
        open_package("me/other")


def test_public_unless_asked(hub, package):
    server = hub(Hub())
    upload.main([str(package), "me/model"])
    assert server.created[0].get("visibility") is None


def refused(package, message, name="me/model"):
    with pytest.raises(UserError, match=message) as error:
        upload.main([str(package), name])
    assert "\n" not in str(error.value) and "hf_secret" not in str(error.value)


def test_what_goes_wrong_is_one_line(hub, package, monkeypatch):
    hub(lambda request: httpx.Response(403, json={"error": "You may not"}, request=request))
    refused(package, r"me/model: not uploaded \(.*403.*\); check the id, the network and that your token may write")
    hub(Hub())
    refused(package, "not uploaded", "no such id")
    monkeypatch.delenv("HF_TOKEN")
    refused(package, "no Hugging Face token here; `hf auth login` with one that may write, or set HF_TOKEN")


def test_only_what_others_can_load_is_uploaded(hub, package):
    server = hub(Hub())
    config = yaml.safe_load((package / "config.yaml").read_text())
    (package / "config.yaml").write_text(
        yaml.safe_dump(config | {"encoder_conf": {"pretrained": "./pretrained/encoder"}})
    )
    refused(package, "./pretrained/encoder is not in this package; .* made with --include_pretrained")
    (package / "README.md").unlink()
    refused(package, "no README.md here; give a folder made by espnet2-sop pack")
    assert not server.created


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "GatedRepo", "it is gated: ask for access on https://huggingface.co/me/model, then `hf auth login`"),
        (404, "RepoNotFound", "it cannot be loaded"),
        (404, "RevisionNotFound", "it cannot be loaded"),
    ],
)
def test_what_the_hub_does_not_give_is_one_line(hub, status, code, message):
    hub(lambda request: httpx.Response(status, headers={"X-Error-Code": code}, request=request))
    with pytest.raises(
        UserError, match=f"me/model: no such folder here, and on the Hugging Face hub {message}"
    ) as error:
        open_package("me/model", "v1")
    assert "\n" not in str(error.value)
