"""Parts named in configurations; the page docs/extending.md is run by test_extending.py."""

import sys

import pytest
import torch
from torch import nn

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_configs
from espnet2_sop.io.registry import find_part, require_imported
from espnet2_sop.model.separator.abs_separator import AbsSeparator

KNOWN = {"lstm": AbsSeparator}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with the modules good_parts, broken_part and wordy_part."""
    (tmp_path / "good_parts.py").write_text(
        "from espnet2_sop.model.separator.abs_separator import AbsSeparator\n"
        "class Mine(AbsSeparator): pass\n"
        "class Other: pass\n"
        "def function(): pass\n"
    )
    (tmp_path / "broken_part.py").write_text("import no_such_package\n")
    (tmp_path / "wordy_part.py").write_text("a = 1\nb = (\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("good_parts", "broken_part", "wordy_part"):
        sys.modules.pop(name, None)


def test_own_class_is_found_beside_those_of_the_package(folder):
    assert find_part("separator", "lstm", KNOWN, AbsSeparator) is AbsSeparator
    assert find_part("separator", "good_parts:Mine", KNOWN, AbsSeparator).__name__ == "Mine"
    assert find_part("--metric", "good_parts:function", {}).__name__ == "function"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lstmm", "separator: no 'lstmm'; known: lstm, or module:Name of your own"),
        ("nowhere:Mine", "separator: no module 'nowhere' on PYTHONPATH or in {folder}"),
        ("good_parts.inner:Mine", "separator: no module 'good_parts.inner' on PYTHONPATH or in {folder}"),
        ("good_parts:Thine", "separator: good_parts has no 'Thine'; {folder}/good_parts.py was read"),
        ("good_parts:", "separator: good_parts has no ''; {folder}/good_parts.py was read"),
        (":Mine", "separator: ':Mine' is not module:Name"),
        (
            "good_parts:Other",
            "separator: good_parts:Other is not a subclass of espnet2_sop.model.separator.abs_separator.AbsSeparator",
        ),
        (
            "broken_part:Mine",
            "separator: broken_part cannot be imported (ModuleNotFoundError: No module named 'no_such_package'; "
            "{folder}/broken_part.py, line 1)",
        ),
        (
            "wordy_part:Mine",
            "separator: wordy_part cannot be imported (SyntaxError: '(' was never closed (wordy_part.py, line 2); "
            "{folder}/wordy_part.py, line 2)",
        ),
    ],
)
def test_a_wrong_name_is_one_line(folder, name, message):
    with pytest.raises(UserError) as error:
        find_part("separator", name, KNOWN, AbsSeparator)
    assert str(error.value) == message.format(folder=folder)


def test_a_class_is_no_metric(folder):
    with pytest.raises(UserError, match="--metric: good_parts:Other is not a function"):
        find_part("--metric", "good_parts:Other", {})


def test_another_class_starts_its_keys_anew(tmp_path):
    """Else the keys of an LSTM would be wrong keys of every other Separator; those of the LLM stay."""
    (tmp_path / "base.yaml").write_text(
        "separator: lstm\nseparator_conf: {hidden_size: 8}\nllm: adapted\nllm_conf: {pretrained: x}"
    )
    (tmp_path / "same.yaml").write_text("separator: lstm\nseparator_conf: {num_layers: 3}")
    (tmp_path / "other.yaml").write_text(
        "separator: a:B\nseparator_conf: {size: 1}\nllm: a:C\nllm_conf: {num_layers: 2}"
    )
    base, same, other = (tmp_path / f"{name}.yaml" for name in ("base", "same", "other"))
    assert read_configs([base, same])["separator_conf"] == {"hidden_size": 8, "num_layers": 3}
    assert read_configs([base, same, other])["separator_conf"] == {"size": 1}
    assert read_configs([base, other])["llm_conf"] == {"pretrained": "x", "num_layers": 2}


def test_a_package_cannot_choose_what_is_imported(folder):
    require_imported({"encoder": "huggingface", "separator": "lstm"})
    with pytest.raises(UserError, match="separator: this package needs good_parts:Mine, .* import good_parts in your"):
        require_imported({"encoder": "huggingface", "separator": "good_parts:Mine"})
    assert "good_parts" not in sys.modules
    find_part("separator", "good_parts:Mine", KNOWN, AbsSeparator)
    require_imported({"encoder": "huggingface", "separator": "good_parts:Mine"})


class NoSlots(AbsSeparator):
    """Forgets that the model gives the number of talkers."""

    def __init__(self, input_size: int):
        super().__init__()
        self.output_size = input_size
        self.linear = nn.Linear(input_size, input_size)

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        return [self.linear(frames)]


def test_a_class_without_the_arguments_of_its_kind_is_refused(options, monkeypatch):
    from espnet2_sop.model.build import build_model, separator_choices

    monkeypatch.setitem(separator_choices.classes, "noslots", NoSlots)
    with pytest.raises(UserError, match="separator_conf: NoSlots takes no 'num_talkers', which every class"):
        build_model(options("sot", ["sot"], separator="noslots", separator_conf={}))
