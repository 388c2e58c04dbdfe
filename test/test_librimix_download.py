"""The download script of the LibriMix recipe against a server on this machine."""

import functools
import http.server
import os
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "egs2/librimix/sop_asr1/local/download.sh"
PARTS = ("dev-clean", "test-clean", "train-clean-100", "train-clean-360")


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; understands "from byte n on", as curl asks when it continues."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        data, wanted = path.read_bytes(), self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    (tmp_path / "www").mkdir()
    handler = functools.partial(RangeHandler, directory=tmp_path / "www")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        served.asked, served.folder = [], tmp_path / "www"
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served
        served.shutdown()


def download(server, what, out):
    url = f"http://127.0.0.1:{server.server_port}"
    names = ("LIBRISPEECH_URL", "WHAM_URL", "LIBRIMIX_URL", "ESPNET_URL")
    env = os.environ | dict.fromkeys(names, url) | {"no_proxy": "127.0.0.1"}
    return subprocess.run([SCRIPT, what, out], env=env, capture_output=True, text=True, timeout=60)


def test_metadata_come_once_and_lie_in_one_folder_per_corpus(server, tmp_path):
    (server.folder / "Libri3Mix").mkdir()
    for part in PARTS:
        (server.folder / f"libri2mix_{part}.csv").write_text(f"two {part}\n")
        (server.folder / "Libri3Mix" / f"libri3mix_{part}.csv").write_text(f"three {part}\n")
    assert download(server, "metadata", tmp_path / "out").returncode == 0
    for part in PARTS:
        assert (tmp_path / f"out/metadata/Libri2Mix/libri2mix_{part}.csv").read_text() == f"two {part}\n"
        assert (tmp_path / f"out/metadata/Libri3Mix/libri3mix_{part}.csv").read_text() == f"three {part}\n"
    server.asked.clear()
    assert download(server, "metadata", tmp_path / "out").returncode == 0
    assert not server.asked


def noise_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("wham_noise/tr/a.wav", b"noise" * 1000)


def test_interrupted_download_goes_on_where_it_was(server, tmp_path):
    noise_archive(server.folder / "wham_noise.zip")
    whole, out = (server.folder / "wham_noise.zip").read_bytes(), tmp_path / "out"
    out.mkdir()
    (out / "wham_noise.zip.part").write_bytes(whole[:100])
    assert download(server, "wham", out).returncode == 0
    assert server.asked == [("/wham_noise.zip", "bytes=100-")]
    assert (out / "wham_noise/tr/a.wav").read_bytes() == b"noise" * 1000
    assert not list(out.glob("wham_noise.zip*"))


def test_broken_archive_is_one_line_and_not_taken_for_complete(server, tmp_path):
    noise_archive(server.folder / "wham_noise.zip")
    broken = bytearray((server.folder / "wham_noise.zip").read_bytes())
    broken[60] ^= 255
    (server.folder / "wham_noise.zip").write_bytes(broken)
    result = download(server, "wham", tmp_path / "out")
    assert result.returncode == 1
    assert "wham_noise.zip is broken" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out/wham_noise/.complete").exists()


def test_wrong_checksum_is_refused_and_kept_aside(server, tmp_path):
    (server.folder / "dev-clean.tar.gz").write_bytes(b"something else")
    result = download(server, "librispeech", tmp_path / "out")
    assert result.returncode == 1
    assert "wrong checksum" in result.stderr
    assert (tmp_path / "out/dev-clean.tar.gz.bad").is_file()
    assert not (tmp_path / "out/dev-clean.tar.gz").exists()


def test_unreachable_file_and_wrong_use_are_one_line(server, tmp_path):
    result = download(server, "metadata", tmp_path / "out")
    assert result.returncode == 1
    assert "cannot be downloaded" in result.stderr.splitlines()[-1]
    result = download(server, "everything", tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr == "download.sh: error: download.sh librispeech|wham|metadata FOLDER\n"
