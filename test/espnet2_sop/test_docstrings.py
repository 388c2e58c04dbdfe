"""The pages of tools/docs.sh: every public module, without a warning."""

import importlib
import pkgutil
import warnings

import pdoc

import espnet2_sop


def modules():
    """Every module that is read by others; a leading underscore hides one."""
    found = (m.name for m in pkgutil.walk_packages(espnet2_sop.__path__, "espnet2_sop."))
    return [name for name in found if not any(part.startswith("_") for part in name.split("."))]


def test_pages_are_built_without_warnings(tmp_path):
    names = modules()
    for name in names:
        importlib.import_module(name)
    pdoc.render.configure(docformat="google", show_source=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pdoc.pdoc("espnet2_sop", output_directory=tmp_path)
    assert [str(w.message) for w in caught if "pdoc" in w.filename] == []
    for name in names:
        assert (tmp_path / f"{name.replace('.', '/')}.html").is_file(), name
    page = (tmp_path / "espnet2_sop/model/encoder/abs_encoder.html").read_text()
    assert "16 kHz, zero-padded" in page and "<h6" in page  # sections of Google style are understood
    assert 'src="http' not in page and 'href="http' not in page.replace('href="https://pdoc.dev"', "")
