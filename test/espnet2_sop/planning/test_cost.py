"""Numbers of a plan against published ones and against arithmetic that fits on paper."""

import pytest

from espnet2_sop.bin import plan as command
from espnet2_sop.io.errors import UserError
from espnet2_sop.planning.cost import Assumptions, Part, Plan, make_plan, parts_of, passes, transformer_bytes

BASE = {
    "encoder_conf": {"pretrained": "microsoft/wavlm-large"},
    "llm_conf": {"pretrained": "meta-llama/Llama-3.2-1B", "dtype": "bfloat16"},
    "max_epoch": 2,
    "num_iters_per_epoch": 10,
    "batch_bins": 160000,
}
ABOUT = Assumptions(seconds=16, tokens=6, utilisation=0.35)
LORA_1B = 16 * 16 * ((2048 + 2048) + 2 * (2048 + 512) + (2048 + 2048))  # r x layers x (q + k and v + o)


def training(objective, trainable, llm="meta-llama/Llama-3.2-1B", **changes):
    model = {"objective": objective, "trainable": trainable}
    return {**BASE, "llm_conf": {"pretrained": llm, "dtype": "bfloat16"}, "model_conf": model, **changes}


def by_name(config, about=ABOUT):
    return {part.name: part for part in parts_of(config, about)}


@pytest.mark.parametrize(
    ("llm", "published", "lora", "rows"),
    [
        ("meta-llama/Llama-3.2-1B-Instruct", 1_235_814_400, LORA_1B, 2048),
        ("meta-llama/Llama-3.2-3B", 3_212_749_824, 16 * 28 * 2 * (3072 + 3072 + 3072 + 1024), 3072),
        ("meta-llama/Llama-3.1-8B", 8_030_261_248, 16 * 32 * 2 * (4096 + 4096 + 4096 + 1024), 2 * 4096),
        ("HuggingFaceTB/SmolLM2-135M", 134_515_008, 16 * 30 * 2 * (576 + 576 + 576 + 192), 576),
    ],
)
def test_llm_parameters(llm, published, lora, rows):
    parts = by_name(training("sot", ["sot"], llm))
    assert parts["llm"].parameters == published + 2 * lora + rows
    assert parts["llm"].trained == lora + rows
    assert by_name(training("sop", ["sop"], llm))["llm"].trained == lora


def test_parameters_of_the_other_parts():
    parts = by_name(training("joint", ["encoder", "downsampler", "separator", "ctc", "projector"]))
    assert parts["encoder"].parameters == pytest.approx(315.5e6, rel=1e-3)
    convolutions = 512 * 10 + 4 * 512 * 512 * 3 + 2 * 512 * 512 * 2 + 7 * 2 * 512  # and 7 layer norms
    assert parts["encoder"].parameters - parts["encoder"].trained == convolutions
    assert parts["downsampler"].parameters == 3 * (1024 * 2048 * 3 + 2048 + 2 * 1024)
    assert parts["ctc"].parameters == 3 * (1024 + 1) * 128257
    assert parts["projector"].parameters == 1025 * 2048
    small = by_name(training("ctc", ["ctc"], ctc_vocab="sentencepiece"))
    assert small["ctc"].parameters == small["ctc"].trained == 3 * 1025 * 1001


def test_flop_of_an_llm_token():
    """Without attention: 2 per weight and token, the output layer only where there is a label."""
    about = Assumptions(seconds=1e-9, tokens=6, utilisation=0.35)
    body, output = 1_235_814_400 - 33 * 2048 - 128256 * 2048, 128256 * 2048  # 33 norms of 2048
    work = by_name(training("sot", ["sot"]), about)["llm"].forward
    assert work == pytest.approx(2 * (body + output) * (6.25 + 6) - 2 * output * 6.25, rel=1e-6)
    sop = by_name(training("sop", ["sop"]), about)["llm"].forward
    assert sop - work == pytest.approx(2 * (body + 0) * 6, rel=1e-6)


def test_flop_of_the_separator():
    part = by_name(training("ctc", ["separator"]))["separator"]
    lstm = 4 * 896 * (1024 + 896) + 4 * 896 * (896 + 896)
    branches = 3 * (896 * 1024 + 1024 * 1024)
    assert part.forward == 2 * (lstm + branches) * 12.5


def test_who_pays_for_gradients():
    """1 forward, 2 gradients pass, 3 own gradients, 1 more for checkpoints, 0 not run."""
    costs = lambda *args, **kwargs: {n: p.passes for n, p in by_name(training(*args, **kwargs)).items()}  # noqa: E731
    stage0 = costs("align", ["downsampler", "separator", "ctc", "projector"])
    assert stage0 == {"encoder": 1, "downsampler": 3, "separator": 3, "ctc": 3, "projector": 3, "llm": 0}
    stage1 = costs("sot", ["encoder", "downsampler", "projector", "sot"])
    assert stage1 == {"encoder": 3, "downsampler": 3, "separator": 0, "ctc": 0, "projector": 3, "llm": 2}
    stage2 = costs("ctc", ["separator", "ctc"])
    assert stage2 == {"encoder": 1, "downsampler": 1, "separator": 3, "ctc": 3, "projector": 0, "llm": 0}
    stage3 = costs("sop", ["sop"])
    assert stage3 == {"encoder": 1, "downsampler": 1, "separator": 1, "ctc": 1, "projector": 1, "llm": 2}
    silent = costs("sop", ["sop"], prompt_conf={"sop_source": "none"})
    assert silent["separator"] == silent["ctc"] == 0
    assert passes(True, False, True) == 4 and passes(False, False, True) == 1


def test_activations_by_hand():
    assert transformer_bytes(10, 4, 3, 2, grad=True, checkpoints=False) == 3 * (34 * 40 + 5 * 2 * 100)
    assert transformer_bytes(10, 4, 3, 2, grad=True, checkpoints=True) == 34 * 40 + 1000 + 4 * 40 * 3
    assert transformer_bytes(10, 4, 3, 0, grad=False, checkpoints=True) == 34 * 40


def test_sums_of_a_plan_by_hand():
    big = Part("big", 10**9, 0, 2, 1e9, 2, 1e9)
    small = Part("small", 10**8, 10**8, 4, 1e8, 3, 5e8)
    plan = Plan("x", [big, small], audio=3600.0)
    assert plan.fixed_bytes == 2e9 + 4e8 + 1.2e9
    assert plan.flop == 2.3e9
    assert plan.batch(24) == int((21.6e9 - 3.6e9) / 1.5e9) == 12 and plan.batch(3) == 0
    assert plan.hours(teraflops=1, utilisation=0.5) == pytest.approx(2.3e9 * 3600 / 0.5e12 / 3600)
    assert make_plan("y", training("sot", ["sot"]), ABOUT).audio == 2 * 10 * 10


def test_other_models_are_looked_up(tiny_llm, tiny_encoder, tiny_whisper):
    from transformers import LlamaForCausalLM, WhisperModel

    size = sum(p.numel() for p in LlamaForCausalLM.from_pretrained(tiny_llm).parameters())
    encoder = WhisperModel.from_pretrained(tiny_whisper).get_encoder()
    config = training("sot", ["encoder", "sot"], tiny_llm, encoder_conf={"pretrained": tiny_whisper})
    parts = by_name(config)
    assert parts["llm"].parameters - 2 * (parts["llm"].trained - 32) - 32 == size
    trained = sum(p.numel() for n, p in encoder.named_parameters() if "conv" not in n and "embed" not in n)
    assert parts["encoder"].trained == trained
    by_name({**config, "encoder_conf": {"pretrained": tiny_encoder}})


def test_command(tmp_path, capsys):
    base, stage = tmp_path / "base.yaml", tmp_path / "train_ctc.yaml"
    import yaml

    base.write_text(yaml.safe_dump(BASE))
    stage.write_text("model_conf: {objective: ctc, trainable: [separator, ctc]}")
    command.main([f"{base}+{stage}", "--utilisation", "0.5"])
    text = capsys.readouterr().out
    assert text.startswith("Computed, not measured") and "| train_ctc | 1,9" in text and "50 % of its" in text
    for argv, message in (
        ([str(base)], "no model_conf; give all files of the training"),
        ([f"{base}+{stage}", "--utilisation", "2"], "--utilisation above 0 and at most 1"),
        ([str(tmp_path / "none.yaml")], "no such file"),
    ):
        with pytest.raises(UserError, match=message):
            command.main(argv)


def test_parts_of_a_users_own(monkeypatch):
    """A Separator is built and counted; what takes the place of a published model is not guessed."""
    from espnet2_sop.model.build import separator_choices

    class Wide(separator_choices.get_class("lstm")):
        pass

    monkeypatch.setitem(separator_choices.classes, "wide", Wide)
    plain, wide = (
        by_name(training("ctc", ["separator", "ctc"], separator=name, separator_conf={"hidden_size": size}))
        for name, size in (("lstm", 64), ("wide", 128))
    )
    assert plain["separator"].parameters < wide["separator"].parameters
    for part in ("encoder", "llm"):
        with pytest.raises(UserError, match=f"{part}: the cost of my:Part is not known; only that of "):
            parts_of({**training("ctc", ["separator", "ctc"]), part: "my:Part"}, ABOUT)
    with pytest.raises(UserError, match=r"llm: the cost of whisper is not known"):
        parts_of({**training("sot", ["sot"]), "llm": "whisper"}, ABOUT)


@pytest.mark.parametrize("odd", ["[1]", "null", "x", "1e999"])
@pytest.mark.parametrize("key", ["encoder_conf", "llm_conf", "model_conf", "max_epoch", "batch_bins"])
def test_values_of_a_wrong_kind_are_one_line(tmp_path, key, odd):
    import yaml

    (tmp_path / "a.yaml").write_text(yaml.safe_dump(training("sot", ["sot"])))
    (tmp_path / "b.yaml").write_text(f"{key}: {odd}\n")
    with pytest.raises(UserError, match="b.yaml: "):
        command.main([f"{tmp_path / 'a.yaml'}+{tmp_path / 'b.yaml'}"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("prompt_conf: null", "prompt_conf is None"),
        ("num_talkers: three", "num_talkers is 'three'"),
        ("llm_conf: {adapters: null}", "llm_conf.adapters is None"),
        ("llm_conf: {adapters: {sot: {r: big}}}", "llm_conf.adapters.sot.r is 'big'"),
        ("model_conf: {tap: two}", "model_conf.tap is 'two'"),
        ("model_conf: {ctc_weight: much}", "model_conf.ctc_weight is 'much'"),
        ("separator_conf: null", "separator_conf"),
        ("downsampler_conf: [1]", "downsampler_conf"),
    ],
)
def test_optional_values_of_a_wrong_kind_are_one_line(tmp_path, line, message):
    import yaml

    (tmp_path / "a.yaml").write_text(yaml.safe_dump(training("ctc", ["separator", "ctc"])))
    (tmp_path / "b.yaml").write_text(f"{line}\n")
    with pytest.raises(UserError, match=message):
        command.main([f"{tmp_path / 'a.yaml'}+{tmp_path / 'b.yaml'}"])
