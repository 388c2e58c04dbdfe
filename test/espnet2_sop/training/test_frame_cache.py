"""Training from caches must be the training without them, and must never read what another model has made."""

import argparse
import shutil

import numpy as np
import pytest
import torch

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.tensor_store import CachedTensors
from espnet2_sop.model.build import build_model
from espnet2_sop.model.ctc.table import to_table
from espnet2_sop.training.frame_cache.plan import obstacles

CTC, SOP = ("ctc", ["separator", "ctc"]), ("sop", ["sop"])
OTHERS = "the heads read others, by encoder_conf.heads_lora"
TEXTS = ["red box <sc> go now", "take the key", "one <sc> two <sc> three"]


# ------------------------------------------------------------------- one step


def step_inputs(model, waves, kinds):
    """The batch with speech, and the batch with what is cached of it."""
    from espnet2.train.collate_fn import CommonCollateFn

    from espnet2_sop.text.preprocessor import SerializedTextPreprocessor

    preprocess = SerializedTextPreprocessor(model.tokenizer, model.vocabulary, model.num_talkers)
    data = [preprocess("", {"speech": wave, "text": text}) for wave, text in zip(waves, TEXTS, strict=True)]
    collate = CommonCollateFn(0.0, -1)
    with_speech = collate([(str(i), row) for i, row in enumerate(data)])[1]
    encoded = model.front_end.encode(with_speech["speech"], with_speech["speech_lengths"])
    frames, lengths = encoded.cacheable
    cached = {
        "frames": [row[:n].detach().numpy() for row, n in zip(frames, lengths, strict=True)],
        "sop": [to_table(slots).numpy() for slots in model.front_end.slots(encoded)],
    }
    rows = [{k: v for k, v in row.items() if k != "speech" or "frames" not in kinds} for row in data]
    for kind in kinds:
        rows = [{**row, kind: value} for row, value in zip(rows, cached[kind], strict=True)]
    return with_speech, collate([(str(i), row) for i, row in enumerate(rows)])[1]


def run(model, batch):
    torch.manual_seed(5)  # of dropout and corruption
    model.zero_grad()
    loss, stats, weight = model(**batch)
    loss.backward()
    return loss, stats, weight, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("stage", "tap", "kinds", "parts"),
    [
        (CTC, 2, ["frames"], None),
        (CTC, 0, ["frames"], None),
        (("ctc", ["downsampler", "separator", "ctc"]), 2, ["frames"], None),
        (SOP, 2, ["frames", "sop"], None),
        (SOP, 3, ["frames", "sop"], None),
        (SOP, 2, ["sop"], None),
        (SOP, 2, ["frames"], None),
        (SOP, 2, ["frames", "sop"], "whisper_parts"),
        (SOP, 2, ["frames", "sop"], "heads_adapter"),
        (SOP, 2, ["sop"], "heads_adapter"),
        (("sot", ["sot"]), 2, ["frames"], "heads_adapter"),
    ],
)
def test_a_step_from_the_cache_is_the_step_exactly(stage, tap, kinds, parts, options, request, waves):
    """Loss, statistics and gradients, in training with dropout and corruption of the prompt."""
    torch.manual_seed(0)
    objective, trainable = stage
    conf = {"objective": objective, "trainable": trainable, "tap": tap, "sop_corruption": 0.3 * (objective == "sop")}
    parts = request.getfixturevalue(parts) if parts else {}
    model = build_model(options(objective, trainable, model_conf=conf, **parts)).train()
    for name, p in model.front_end.encoder.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(p, std=0.1)
    with_speech, kept = step_inputs(model, waves, kinds)
    assert ("speech" in kept) == ("frames" not in kinds)
    loss, stats, weight, gradients = run(model, with_speech)
    again = run(model, kept)
    assert torch.equal(loss, again[0]) and torch.equal(weight, again[2]) and stats.keys() == again[1].keys()
    assert all(torch.equal(value, again[1][name]) for name, value in stats.items())
    assert gradients.keys() == again[3].keys() and any(g.any() for g in gradients.values())
    assert all(torch.equal(gradient, again[3][name]) for name, gradient in gradients.items())


def test_a_cached_prompt_is_corrupted_anew_in_every_step(options, waves):
    torch.manual_seed(0)
    conf = {"objective": "sop", "trainable": ["sop"], "sop_corruption": 0.5}
    model = build_model(options("sop", ["sop"], model_conf=conf)).eval()
    _, kept = step_inputs(model, waves, ["frames", "sop"])
    seen = []
    model.prompt.build = (lambda build: lambda *args: seen.append(args[3]) or build(*args))(model.prompt.build)
    model(**kept)
    model.training = True  # of the model alone: no dropout
    for _ in range(2):
        model(**kept)
    assert seen[0] != seen[1] != seen[2] != seen[0]


# --------------------------------------------------------- what can be cached


@pytest.mark.parametrize(
    ("objective", "trainable", "changes", "expected"),
    [
        ("ctc", ["separator", "ctc"], {}, {"frames": ""}),
        ("ctc", ["encoder", "separator", "ctc"], {}, {"frames": "model_conf.trainable has encoder"}),
        ("sop", ["sop"], {}, {"frames": "", "sop": ""}),
        ("sop", ["ctc", "sop"], {}, {"frames": "", "sop": "model_conf.trainable has ctc"}),
        ("sop", ["downsampler", "sop"], {}, {"frames": "", "sop": "model_conf.trainable has downsampler"}),
        ("sop", ["sop"], {"ctc_weight": 0.3}, {"frames": "", "sop": "its CTC loss needs the heads"}),
        ("sot", ["projector", "sot"], {}, {"frames": ""}),
    ],
)
def test_what_is_trained_is_not_cached(options, objective, trainable, changes, expected):
    conf = {"objective": objective, "trainable": trainable, **changes}
    args = options(objective, trainable, model_conf=conf, cache_kinds=["frames", "sop"])
    assert obstacles(args) == expected
    assert "sop" not in obstacles(argparse.Namespace(**{**vars(args), "cache_kinds": ["frames"]}))
    assert "sop" not in obstacles(argparse.Namespace(**{**vars(args), "prompt_conf": {"sop_source": "reference"}}))


def test_frames_are_not_enough_where_the_heads_read_others(options, heads_adapter):
    """The prompt may be kept beside them; the heads themselves, their loss and their training need speech."""
    for objective, kinds, changes, expected in [
        ("sot", ["frames"], {}, {"frames": ""}),
        ("sop", ["frames", "sop"], {}, {"frames": "", "sop": ""}),
        ("sop", ["frames"], {}, {"frames": OTHERS}),
        ("sop", ["frames", "sop"], {"trainable": ["sop", "encoder_heads"]},
         {"frames": OTHERS, "sop": "model_conf.trainable has encoder_heads"}),
        ("ctc", ["frames", "sop"], {}, {"frames": OTHERS}),
        ("sot", ["frames"], {"ctc_weight": 0.1}, {"frames": OTHERS}),
    ]:  # fmt: skip
        conf = {"objective": objective, "trainable": ["sop"], **changes}
        assert obstacles(options(objective, [], model_conf=conf, cache_kinds=kinds, **heads_adapter)) == expected


# ------------------------------------------------------------- whole trainings


@pytest.fixture(scope="module")
def site(corpus, write_config, data_options, tmp_path_factory):
    """Runs commands over fixed sets of mixtures: site(command, out, stage, *options)."""
    from espnet2_sop.bin import cache, format, prepare, train

    root = tmp_path_factory.mktemp("site")
    speech = ["--speech_root", str(corpus.speech), "--condition", "clean"]
    for name, table in (("train", corpus.csv[3]), ("dev", corpus.csv[2])):
        prepare.main(["librimix", *speech, "--csv", str(table), "--out", str(root / "data" / name)])
        format.main(["--min_duration", "0.1", str(root / "data" / name), str(root / name)])
    config = {
        "separator_conf": {"dropout": 0.0},
        "llm_conf": {"adapters": {name: {"lora_dropout": 0.0} for name in ("sot", "sop")}},
        "batch_bins": 80000,
        "max_epoch": 1,
        "optim": "sgd",
        "optim_conf": {"lr": 0.1},
        "keep_nbest_models": 1,
    }

    def call(command, out, stage, *options, train_data=root / "train/mixtures.jsonl", **parts):
        conf = {**config, **parts, "model_conf": {"objective": stage[0], "trainable": stage[1]}}
        argv = ["--config", write_config(root / "stage.yaml", **conf), "--output_dir", str(out)]
        argv += [*data_options(train_data, root / "dev"), *map(str, options)]
        {"cache": cache, "train": train}[command].main(argv)
        return out

    call.root = root
    call("train", root / "one", ("sot", ["downsampler", "projector", "sot"]))
    call("train", root / "two", CTC, "--init_param", root / "one/valid.loss.ave.pth")
    return call


@pytest.fixture(scope="module")
def caches(site):
    """Folder of the caches of stages 2 and 3, and the options of both stages."""
    folder = site.root / "cache"
    ctc = (CTC, "--init_param", site.root / "one/valid.loss.ave.pth", "--cache", folder)
    sop = (SOP, "--init_param", site.root / "two/valid.loss.ave.pth", "--cache", folder)
    for stage in (ctc, sop):
        site("cache", site.root / "unused", *stage)
    return folder, ctc, sop


def state(run):
    return torch.load(run / "valid.loss.ave.pth", weights_only=True)


def test_stages_share_their_frames(caches, capsys):
    """Stage 2 left the encoder alone, so stage 3 reads what stage 2 has read."""
    folder, _, _ = caches
    names = sorted(path.name.rpartition("-")[0] for path in folder.iterdir())
    assert names == ["frames-dev", "frames-train", "sop-dev", "sop-train"]


@pytest.mark.parametrize("number", [1, 2])
def test_training_from_the_cache_gives_the_same_weights(site, caches, number, tmp_path, monkeypatch, capsys):
    stage = caches[number]
    plain = site("train", tmp_path / "plain", *stage[:3])
    monkeypatch.setattr("espnet2_sop.mixture.loader.render", None)  # no mixture is rendered any more
    kept = site("train", tmp_path / "kept", *stage)
    said = capsys.readouterr().out
    assert f"--cache: frames of {site.root}/train/mixtures.jsonl are read from {caches[0]}/frames-train-" in said
    start, (one, two) = torch.load(stage[2], weights_only=True), map(state, (plain, kept))
    assert any(not torch.equal(value, start[name]) for name, value in one.items())
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_three_stages_where_the_heads_have_an_adapter(site, heads_adapter, tmp_path, monkeypatch, capsys):
    """Stage 2 trains it, the decoder's frames stay; stage 3 from the caches, prompts of these heads, is as without."""
    lora = {**heads_adapter["llm_conf"]["adapters"]["sot"], "lora_dropout": 0.0}
    adapters = {**heads_adapter["llm_conf"], "adapters": {"sot": lora, "sop": lora}}
    whisper = {**heads_adapter, "llm_conf": adapters}

    def stage(command, name, objective, trainable, *options):
        return site(command, tmp_path / name, (objective, trainable), *options, **whisper)

    init = ("--init_param", stage("train", "one", "sot", ["encoder", "sot"]) / "valid.loss.ave.pth")
    cache = ("--cache", tmp_path / "cache")
    two = stage("train", "two", "ctc", ["encoder_heads", "downsampler", "separator", "ctc"], *init, *cache)
    assert f"--cache: frames are computed in every step ({OTHERS})" in capsys.readouterr().out
    before, after = torch.load(init[1], weights_only=True), state(two)
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert {".encoder_heads." in n for n in changed if n.startswith("encoder.")} == {True}
    assert not any(name.startswith(("llm.", "projector.")) for name in changed)

    init = ("--init_param", two / "valid.loss.ave.pth")
    plain = stage("train", "plain", "sop", ["sop"], *init)
    stage("cache", "unused", "sop", ["sop"], *init, *cache)
    monkeypatch.setattr("espnet2_sop.mixture.loader.render", None)
    kept = stage("train", "kept", "sop", ["sop"], *init, *cache)
    for name, value in state(plain).items():
        torch.testing.assert_close(state(kept)[name], value, rtol=1e-4, atol=1e-5)


def test_a_second_call_does_nothing_and_an_interrupted_one_goes_on(site, caches, capsys):
    folder, _, sop = caches
    (frames,) = folder.glob("frames-train-*")
    (prompt,) = folder.glob("sop-train-*")
    before = {name: row.copy() for name, row in CachedTensors(frames).items()}
    site("cache", site.root / "unused", *sop)
    assert capsys.readouterr().out.count(": done already\n") == 4
    for path in (frames, prompt):
        (path / ".done").unlink()
    next(frames.glob("*.safetensors")).unlink()
    with pytest.raises(UserError, match=r"frames-train-\w+ is not complete; run `espnet2-sop cache` with the options"):
        site("train", site.root / "unused", *sop)
    site("cache", site.root / "unused", *sop)
    after = CachedTensors(frames)
    assert set(after) == set(before)
    for name, row in before.items():
        np.testing.assert_allclose(after[name], row, rtol=1e-4, atol=1e-5)


def test_a_stale_cache_is_refused_and_the_difference_named(site, caches, tmp_path):
    _, ctc, sop = caches
    other = tmp_path / "other"
    shutil.copytree(site.root / "one", other)
    weights = torch.load(ctc[2], weights_only=True)
    weights["downsampler.convs.0.weight"] += 1
    torch.save(weights, other / "valid.loss.ave.pth")
    message = r"^--cache: no {} of .*/mixtures.jsonl for this training: .* was made otherwise: {}.*; run `espnet2-sop"
    for stage, options, kind, change in (
        (ctc, ("--init_param", other / "valid.loss.ave.pth"), "frames", r"weights.downsampler was \"\w+\", is \"\w+\""),
        (ctc, ("--encoder_conf", "normalize=false"), "frames", "encoder.normalize was null, is false"),
        (ctc, ("--model_conf", "tap=1"), "frames", "level was 2, is 1"),
        (ctc, ("--cache_dtype", "bfloat16"), "frames", 'dtype was "float32", is "bfloat16"'),
    ):
        with pytest.raises(UserError, match=message.format(kind, change)):
            site("train", tmp_path / "run", *stage, *options)
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
    fewer = tmp_path / "train/mixtures.jsonl"
    fewer.parent.mkdir()
    fewer.write_text("".join((site.root / "train/mixtures.jsonl").read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=message.format("frames", "mixtures was ")):
        site("train", tmp_path / "run", *sop, train_data=fewer)
    with pytest.raises(UserError, match="--cache: no frames of .* for this training: there are none; run"):
        site("train", tmp_path / "none", *sop[:3], "--cache", tmp_path / "empty")


def test_checkpointing_and_batch_size_change_no_cache(site, caches, tmp_path):
    options = ["--encoder_conf", "gradient_checkpointing=true", "--batch_bins", "60000"]
    site("train", tmp_path / "run", *caches[1], *options)


def test_what_is_drawn_or_trained_is_computed(site, tmp_path, corpus, capsys):
    """A simulation has new mixtures in every epoch; the validation set is read from the cache all the same."""
    from espnet2_sop.bin import prepare

    (tmp_path / "rule.yaml").write_text(
        "{seed: 1, mixtures_per_epoch: 4, talkers: {2: 1}, onsets: [[0.1, 0.3], [0.4, 0.6]],"
        " level_db: [-30, -25], noise_prob: 0, noise_level_db: [-40, -35], speed: [1, 1], max_duration: 5}"
    )
    rule = ["simulation", "--speech_root", str(corpus.speech), "--subset", "train-mini"]
    rule += ["--noise_root", str(corpus.noise / "tr"), "--config", str(tmp_path / "rule.yaml")]
    prepare.main([*rule, "--out", str(tmp_path / "train")])
    drawn = tmp_path / "train/simulation.yaml"
    options = ["--init_param", site.root / "one/valid.loss.ave.pth", "--cache", tmp_path / "cache"]
    site("cache", tmp_path / "run", CTC, *options, train_data=drawn)
    site("train", tmp_path / "run", CTC, *options, train_data=drawn)
    said = capsys.readouterr().out
    assert f"--cache: {drawn} draws new mixtures in every epoch, frames are computed" in said
    assert [path.name[:10] for path in (tmp_path / "cache").iterdir()] == ["frames-dev"]
    assert "are read from" in said
    trained = ("ctc", ["encoder", "separator", "ctc"])
    site("cache", tmp_path / "run", trained, "--cache", tmp_path / "other")
    assert "frames are computed in every step (model_conf.trainable has encoder)" in capsys.readouterr().out
    assert not (tmp_path / "other").exists()


def test_wrong_options_are_one_line(site, tmp_path):
    with pytest.raises(UserError, match="--cache is missing"):
        site("cache", tmp_path, CTC)
    with pytest.raises(UserError, match="--task asr: only trainings of --task sop read caches"):
        site("cache", tmp_path, CTC, "--task", "asr")
    with pytest.raises(UserError, match="no such checkpoint"):
        site("cache", tmp_path, CTC, "--cache", tmp_path, "--init_param", tmp_path / "none.pth")
