"""Packages: what was trained comes out of them as it went in, wherever they are, and opening them runs nothing."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from espnet2_sop.bin import pack, unpack
from espnet2_sop.decoding.decoder import Decoder, load_run
from espnet2_sop.io.errors import UserError
from espnet2_sop.model.checkpoint import check_checkpoint, read_state
from espnet2_sop.packaging.locate import open_package
from espnet2_sop.packaging.pack import pretrained_part

ROWS = [
    {"system": system, "test_set": test_set, "cpwer": cpwer, "order_wer": order, "count_accuracy": 99.0, "mixtures": 20}
    for system, test_set, cpwer, order in (
        ("model", "test_2mix", 12.34, 13.5),
        ("other", "test_2mix", 1.0, 1.0),
        ("model", "test_3mix", None, None),
    )
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def run(make_run):
    return make_run()


def packed(run, folder, *options):
    out = folder / "model"
    pack.main(["--run", str(run), "--checkpoint", "valid.acc.ave.pth", "--out", str(out), *map(str, options)])
    return out


@pytest.fixture(scope="module")
def full(run, tmp_path_factory):
    """A package that carries encoder and LLM."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "results.json").write_text(json.dumps(ROWS))
    options = ["--results", folder / "results.json", "--language", "en", "--license", "cc-by-4.0"]
    return packed(run, folder, "--include_pretrained", *options)


@pytest.fixture(scope="module")
def bare(run, tmp_path_factory):
    """A package that does not."""
    return packed(run, tmp_path_factory.mktemp("bare"))


@pytest.fixture
def copy(full, tmp_path):
    """The full package, to be spoiled."""
    return Path(shutil.copytree(full, tmp_path / "copy"))


def change(folder, **sections):
    """Changes keys of sections of config.yaml, or of the file itself."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for name, value in sections.items():
        config[name] = config[name] | value if isinstance(value, dict) else value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def refused(folder, message, checkpoint="model.safetensors"):
    with pytest.raises(UserError, match=message) as error:
        load_run(folder, checkpoint)
    assert "\n" not in str(error.value)


def test_a_zip_decodes_as_the_run_wherever_it_is(run, full, tmp_path, monkeypatch, tiny_llm, tiny_encoder):
    rng = np.random.default_rng(1)
    waves = [rng.standard_normal(n).astype("float32") for n in (9000, 16000)]
    expected = Decoder(load_run(run), "sop")(waves)
    shutil.move(full.with_name("model.zip"), tmp_path / "renamed.zip")
    monkeypatch.chdir(tmp_path)
    folder = open_package("renamed.zip")
    model = load_run(folder, "model.safetensors")
    shutil.move(tmp_path / "renamed.zip", full.with_name("model.zip"))
    assert Decoder(model, "sop")(waves) == expected and expected[0].text
    original = torch.load(run / "valid.acc.ave.pth", weights_only=True)
    assert all(torch.equal(value, original[key]) for key, value in model.state_dict().items())
    for path in full.rglob("*"):
        if path.is_file():
            for place in (str(run), tiny_llm, tiny_encoder, "secret_place"):
                assert place.encode() not in path.read_bytes(), f"{path} names {place}"
            assert path.stat().st_mode & 0o777 == (full / "config.yaml").stat().st_mode & 0o777


def test_every_weight_is_there_once(run, full):
    state = torch.load(run / "valid.acc.ave.pth", weights_only=True)
    files = [full / "model.safetensors", *full.glob("adapters/*/adapter_model.safetensors")]
    assert sum(value.numel() for path in files for value in load_file(path).values()) == sum(
        value.numel() for value in state.values()
    )
    found = read_state(full / "model.safetensors")
    assert found.keys() == state.keys() and all(torch.equal(value, found[key]) for key, value in state.items())


def test_another_adapter_is_another_model(run, full, tmp_path):
    """Decoding tells by model.safetensors whether a set was decoded with the same model."""
    again = packed(run, tmp_path, "--include_pretrained")
    assert (again / "model.safetensors").read_bytes() == (full / "model.safetensors").read_bytes()
    other = Path(shutil.copytree(run, tmp_path / "other"))
    state = torch.load(other / "valid.acc.ave.pth", weights_only=True)
    state[next(key for key in state if ".sop." in key)] += 1
    torch.save(state, other / "valid.acc.ave.pth")
    (tmp_path / "out").mkdir()
    changed = packed(other, tmp_path / "out", "--include_pretrained")
    assert (changed / "model.safetensors").read_bytes() != (full / "model.safetensors").read_bytes()


def test_without_pretrained_parts_the_receiver_is_told(run, tmp_path, capsys, tiny_llm, tiny_encoder):
    folder = packed(run, tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert f"The speech encoder is a folder of this machine, {tiny_encoder}, and not in the package" in said[1]
    assert all("--include_pretrained" in line for line in said[1:3])
    assert "needs** folders that are not in it: `pretrained/encoder`" in (folder / "README.md").read_text()
    refused(folder, r"encoder_conf.pretrained: ./pretrained/encoder is not in this package; put it into .*/model, or")
    shutil.copytree(tiny_encoder, folder / "pretrained/encoder")
    refused(folder, r"llm_conf.pretrained: ./pretrained/llm is not in this package")
    shutil.copytree(tiny_llm, folder / "pretrained/llm")
    load_run(folder, "model.safetensors")


def test_a_package_can_be_packed_again(full, bare, tmp_path, tiny_llm, tiny_encoder):
    """To carry what it did not carry, for one."""
    folder = Path(shutil.copytree(bare, tmp_path / "old"))
    shutil.copytree(tiny_encoder, folder / "pretrained/encoder")
    shutil.copytree(tiny_llm, folder / "pretrained/llm")
    out = tmp_path / "model"
    pack.main(["--run", str(folder), "--checkpoint", "model.safetensors", "--out", str(out), "--include_pretrained"])
    for path in full.rglob("*.safetensors"):
        assert (out / path.relative_to(full)).read_bytes() == path.read_bytes()
    assert load_run(out, "model.safetensors").num_talkers == 3


def test_only_packages_are_replaced(run, full, bare, tmp_path, tiny_llm, tiny_encoder):
    """Folders of pretrained models and of runs have files of the same names, and there may be no other copy."""
    model = Path(shutil.copytree(tiny_llm, tmp_path / "model"))
    assert {"model.safetensors", "config.json"} <= {path.name for path in model.iterdir()}
    before = {path: path.read_bytes() for path in model.iterdir()}
    with pytest.raises(UserError, match="model: is there and is no package; give a new folder"):
        packed(run, tmp_path)
    assert {path: path.read_bytes() for path in model.iterdir()} == before
    shutil.copyfile(run / "config.yaml", model / "config.yaml")
    with pytest.raises(UserError, match="model: is there and is no package; give a new folder"):
        packed(run, tmp_path)
    shutil.rmtree(model)
    shutil.copytree(bare, model)
    shutil.copytree(tiny_encoder, model / "pretrained/encoder")
    shutil.copytree(tiny_llm, model / "pretrained/llm")
    again = ["--run", str(model), "--checkpoint", "model.safetensors", "--out", str(model)]
    with pytest.raises(UserError, match="model: the speech encoder is in it and would be lost; pack with --include"):
        pack.main(again)
    pack.main([*again, "--include_pretrained"])
    for path in full.rglob("*.safetensors"):
        assert (model / path.relative_to(full)).read_bytes() == path.read_bytes()


def test_a_run_of_espnet_is_packed_by_espnet(tmp_path):
    (tmp_path / "config.yaml").write_text("token_list: [a]\n")
    (tmp_path / "valid.acc.ave.pth").write_bytes(b"x")
    with pytest.raises(UserError, match="trained with --task asr; ESPnet's own `python -m espnet2.bin.pack asr` packs"):
        packed(tmp_path, tmp_path)


def test_whisper_and_sentencepiece_are_carried(make_run, tiny_whisper, tmp_path, monkeypatch):
    from espnet2_sop.text.vocabulary import SentencePieceVocabulary, save_vocabulary

    (tmp_path / "spm").mkdir()
    SentencePieceVocabulary.train(["red blue green white"] * 20, 20, tmp_path / "spm")
    size = SentencePieceVocabulary(tmp_path / "spm/spm.model").vocab_size
    save_vocabulary(tmp_path / "spm", "sentencepiece", ["x"] * size)
    encoder = {"pretrained": tiny_whisper, "lora": {"r": 2}}
    run = make_run(encoder_conf=encoder, ctc_vocab=str(tmp_path / "spm"))
    folder = packed(run, tmp_path, "--include_pretrained")
    shutil.rmtree(tmp_path / "spm")
    monkeypatch.chdir(tmp_path)
    model = load_run(folder, "model.safetensors")
    assert model.vocabulary.vocab_size == size
    assert read_state(run / "valid.acc.ave.pth").keys() == model.state_dict().keys()
    assert sorted(path.name for path in (folder / "adapters").iterdir()) == ["sop", "sot"]  # peft's, of the LLM


def test_whispers_decoder_is_packed(make_run, whisper_parts, waves, tmp_path):
    """Encoder and decoder are carried apart, though they may come from one Whisper."""
    run = make_run(**whisper_parts)
    folder = packed(run, tmp_path, "--include_pretrained")
    expected = Decoder(load_run(run), "sop")(waves)
    assert Decoder(load_run(folder, "model.safetensors"), "sop")(waves) == expected
    assert len({hypothesis.text for hypothesis in expected}) > 1


def test_rounded_weights_are_half_as_large(run, bare, tmp_path):
    """bfloat16 in the files, float32 in the model, each weight rounded once."""
    folder = packed(run, tmp_path, "--include_pretrained", "--dtype", "bfloat16")
    found, original = read_state(folder / "model.safetensors"), read_state(run / "valid.acc.ave.pth")
    assert found.keys() == original.keys() and {value.dtype for value in found.values()} == {torch.bfloat16}
    assert all(torch.equal(value, original[key].bfloat16()) for key, value in found.items())
    size, whole = ((path / "model.safetensors").stat().st_size for path in (folder, bare))
    assert size < 0.6 * whole
    model = load_run(folder, "model.safetensors")
    assert {p.dtype for p in model.front_end.separator.parameters()} == {torch.float32}


def test_training_starts_from_what_is_unpacked(run, bare, tmp_path, capsys):
    out = tmp_path / "start"
    unpack.main([str(bare.with_name("model.zip")), "--out", str(out)])
    original, found = (torch.load(path, weights_only=True) for path in (run / "valid.acc.ave.pth", out / "model.pth"))
    assert found.keys() == original.keys() and all(torch.equal(value, original[key]) for key, value in found.items())
    check_checkpoint(str(out / "model.pth"), load_run(run))
    (kind,) = (out / "vocab").iterdir()
    assert json.loads((kind / "vocabulary.json").read_text())["kind"] == kind.name == "llm"
    written = (out / "model.pth").stat().st_mtime_ns
    unpack.main([str(bare.with_name("model.zip")), "--out", str(out)])
    assert "done already, skipped" in capsys.readouterr().out
    assert (out / "model.pth").stat().st_mtime_ns == written, "or all that starts from it would be trained again"
    with pytest.raises(UserError, match="not what espnet2-sop pack makes; of a run folder, give --init_param a check"):
        unpack.main([str(run), "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_rounded_weights_are_unpacked_whole(run, bare, tmp_path):
    """In place of another zip of that name; that both were seen before must not matter."""
    folder, start = packed(run, tmp_path, "--dtype", "bfloat16"), tmp_path / "start"
    other = Path(shutil.copy(bare.with_name("model.zip"), tmp_path / "other.zip"))
    archive = folder.with_name("model.zip")
    unpack.main([str(archive), "--out", str(tmp_path / "seen")])
    shutil.move(archive, tmp_path / "rounded.zip")
    shutil.move(other, archive)
    unpack.main([str(archive), "--out", str(start)])
    shutil.move(tmp_path / "rounded.zip", archive)
    whole = torch.load(start / "model.pth", weights_only=True)
    unpack.main([str(archive), "--out", str(start)])
    state = torch.load(tmp_path / "start/model.pth", weights_only=True)
    assert {value.dtype for value in state.values()} == {torch.float32}
    assert all(torch.equal(value, whole[key].bfloat16().float()) for key, value in state.items())
    assert any(not torch.equal(value, whole[key]) for key, value in state.items())


@pytest.mark.parametrize(
    ("tied", "adapters"),
    [
        (True, {"sop": {"r": 4}, "sot": {}}),
        (False, {"sop": {"r": 4}, "sot": {"use_dora": True}}),
        (True, {"sop": {"target_modules": r".*\.[qv]_proj"}, "sot": {"target_modules": "all-linear"}}),
    ],
)
def test_peft_alone_loads_the_adapters(tied, adapters, make_run, tiny_llm, untied_llm, tmp_path):
    """With the rows of `<sc>`, whose id 2 is read and scored here; without them all talkers would run together."""
    pretrained = tiny_llm if tied else untied_llm
    run = make_run(llm_conf={"pretrained": pretrained, "adapters": adapters})
    model, folder = load_run(run), packed(run, tmp_path) / "adapters"
    ids, positions = torch.tensor([[0, 5, 2, 9, 30, 2, 4]]), torch.arange(7)[None]

    def own(names):
        model.llm.activate(names)
        return model.llm.logits(model.llm.hidden_states(model.llm.embed(ids), None, positions))

    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(pretrained)
        untouched = base(ids).logits
        other = peft.PeftModel.from_pretrained(base, str(folder / "sot"), adapter_name="sot").eval()
        torch.testing.assert_close(other(ids).logits, own(["sot"]))
        assert (other(ids).logits - untouched).abs().max() > 0.1
        other = peft.PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(pretrained), str(folder / "sop"), adapter_name="sop"
        ).eval()
        other.load_adapter(str(folder / "sot"), "sot")
        other.base_model.set_adapter(["sot", "sop"])
        torch.testing.assert_close(other(ids).logits, own(["sot", "sop"]))


def test_every_key_is_compared(copy):
    path = copy / "adapters/sop/adapter_model.safetensors"
    state = load_file(path)
    save_file(dict([*state.items()][1:]), path)
    refused(copy, r"model.safetensors: checkpoint of another model; missing: llm.peft.*\.sop\.")
    save_file({key: value[:, :-1].contiguous() for key, value in state.items()}, path)
    refused(copy, "of another shape: .* and 15 more")
    shutil.rmtree(copy / "adapters/sop")
    refused(copy, "missing: llm.peft.* and 15 more")
    (copy / "adapters/sot/adapter_model.safetensors").write_bytes(b"{")
    refused(copy, "model.safetensors: not a readable checkpoint")


def test_the_card_is_one_for_the_hub(full, bare):
    data = ModelCard.load(full / "README.md").data
    assert (data.license, data.language, data.pipeline_tag) == ("cc-by-4.0", ["en"], "automatic-speech-recognition")
    results = {(result.dataset_name, result.metric_name): result.metric_value for result in data.eval_results}
    assert results == {("test_2mix", "cpWER %"): 12.34, ("test_2mix", "order WER %"): 13.5}
    data = ModelCard.load(bare / "README.md").data
    assert (data.license, data.license_name, data.eval_results) == ("other", "not-stated", None)
    assert "stated no licence" in (bare / "README.md").read_text()


def test_hub_models_are_named_by_commit(tmp_path, monkeypatch):
    commit, name = "a" * 40, "meta-llama/Llama-3.2-1B"
    repository = tmp_path / "models--meta-llama--Llama-3.2-1B"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "snapshots" / commit / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    part = pretrained_part({"llm_conf": {"pretrained": name}}, "llm_conf", False)
    assert part.revision == commit and not part.missing
    part = pretrained_part({"llm_conf": {"pretrained": name, "revision": "v1"}}, "llm_conf", False)
    assert part.revision == "v1", "not in the cache"

    from espnet2_sop.packaging.model_card import CardOptions, binding_license, card_data
    from espnet2_sop.packaging.pack import packed_config

    config = packed_config({"llm_conf": {"pretrained": name}}, [part])
    assert config["llm_conf"] == {"pretrained": name, "revision": "v1", "tokenizer": "tokenizer"}
    assert binding_license([part]) == "llama3.2"
    assert card_data([part], "llama3.2", CardOptions("x"))["base_model"] == [name]


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("meta-llama/Llama-2-7b-hf", "llama2"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama3"),
        ("meta-llama/Meta-Llama-3.1-8B", "llama3.1"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3.3"),
        ("google/gemma-2-2b", "gemma"),
        ("princeton-nlp/Sheared-LLaMA-2.7B", None),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", None),
        ("HuggingFaceTB/SmolLM2-135M", None),
    ],
)
def test_licences_that_bind(name, licence):
    from espnet2_sop.packaging.model_card import binding_license
    from espnet2_sop.packaging.pack import Pretrained

    assert binding_license([Pretrained("llm_conf", name, "main", False)]) == licence


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--license", "My License"], "--license My License: not an identifier of the Hugging Face hub"),
        (["--results", "{folder}/none.json"], "none.json: no such file"),
        (["--results", "{folder}/broken.json"], "broken.json: 0 is 3; give a results.json of espnet2-sop table"),
        (["--results", "{folder}/short.json"], "short.json: 0 has no test_set, cpwer, order_wer, count_accuracy, mix"),
        (["--results", "{folder}/words.json"], "words.json: 0.cpwer is '12.34'; give a results.json"),
        (["--results", "{folder}/other.json"], "other.json: has no row of model; give the system's name to --out"),
        (["--out", "{folder}"], "is there and is no package; give a new folder"),
        (["--checkpoint", "checkpoint.pth"], "checkpoint.pth: holds more than weights"),
        (["--checkpoint", "none.pth"], "none.pth: no such checkpoint"),
    ],
)
def test_what_cannot_be_packed(run, tmp_path, arguments, message):
    rows = {"broken": 3, "short": {"system": "model"}, "words": ROWS[0] | {"cpwer": "12.34"}, "other": ROWS[1]}
    for name, row in rows.items():
        (tmp_path / f"{name}.json").write_text(json.dumps([row]))
    torch.save({"model": {}, "epoch": 3}, run / "checkpoint.pth")
    with pytest.raises(UserError, match=message) as error:
        packed(run, tmp_path, *[option.format(folder=tmp_path) for option in arguments])
    assert "\n" not in str(error.value) and {path.stem for path in tmp_path.iterdir()} == rows.keys()


# ------------------------------------------------------------------ strangers


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """A file that is there if code of a package was run; the environment is as unsafe as it can be."""
    monkeypatch.setenv("ESPNET_ALLOW_UNSAFE_TORCH_LOAD", "1")
    monkeypatch.setenv("SOP_TEST_MARK", str(tmp_path / "run"))
    return tmp_path / "run"


EVIL = "import os\nopen(os.environ['SOP_TEST_MARK'], 'w').write('x')\nclass Evil:\n    pass\n"


def test_a_pickle_is_not_run(run, mark, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(mark),)

    folder = Path(shutil.copytree(run, tmp_path / "evil"))
    (folder / "valid.acc.ave.pth").write_bytes(pickle.dumps(Evil(), protocol=2))
    refused(folder, "valid.acc.ave.pth: not a readable checkpoint", "valid.acc.ave.pth")
    torch.save(Evil(), folder / "valid.acc.ave.pth")
    refused(folder, "valid.acc.ave.pth: not a readable checkpoint", "valid.acc.ave.pth")
    assert not mark.exists()


def test_python_tags_are_not_run(copy, mark):
    with open(copy / "config.yaml", "a") as f:
        f.write(f"x: !!python/object/apply:os.mkdir ['{mark}']\n")
    refused(copy, "config.yaml: broken YAML: could not determine a constructor for the tag")
    assert not mark.exists()


def test_remote_code_is_not_run(copy, mark, monkeypatch):
    """Where transformers knows the model, its own class is taken; where not, the package is refused, not asked for."""
    monkeypatch.chdir(copy)
    for part in ("encoder", "llm"):
        path = copy / "pretrained" / part / "config.json"
        names = ("AutoConfig", "AutoModel", "AutoModelForCausalLM")
        config = json.loads(path.read_text()) | {"auto_map": {name: "evil.Evil" for name in names}}
        path.write_text(json.dumps(config))
        path.with_name("evil.py").write_text(EVIL)
    for name in ("tokenizer", "pretrained/llm"):
        path = copy / name / "tokenizer_config.json"
        old = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(old | {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}))
        path.with_name("evil.py").write_text(EVIL)
    load_run(copy, "model.safetensors")
    path = copy / "pretrained/encoder/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "evil"}))
    refused(copy, "encoder_conf.pretrained: .* cannot be loaded")
    assert not mark.exists()


def test_configurations_cannot_import(copy, mark, monkeypatch):
    """peft imports the module `megatron_core`, transformers fetches code for attention of the form owner/name."""
    monkeypatch.chdir(copy)
    (copy / "evil.py").write_text(EVIL)
    adapters = {"sot": {"megatron_config": {"a": 1}, "megatron_core": "evil"}, "sop": {}}
    refused(
        change(copy, llm_conf={"adapters": adapters}), "llm_conf.adapters.sot: no key 'megatron_config'; known: r, "
    )
    wanted = {"adapters": {"sot": {}, "sop": {}}, "attn_implementation": "evil/kernel"}
    refused(change(copy, llm_conf=wanted), "llm_conf.attn_implementation: 'evil/kernel' is not one of sdpa")
    path = copy / "pretrained/encoder/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attn_implementation": "evil/kernel"}))
    change(copy, llm_conf={"attn_implementation": "sdpa"})
    refused(copy, "encoder_conf.pretrained: .* wants attention from 'evil/kernel', which is code")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_conf": {"pretrained": "/etc"}}, r"encoder_conf.pretrained: '/etc' leads out of the package"),
        ({"llm_conf": {"pretrained": "../llm"}}, r"llm_conf.pretrained: '../llm' leads out of the package"),
        ({"llm_conf": {"tokenizer": "tokenizer/../../.."}}, "leads out of the package"),
        ({"llm_conf": {"tokenizer": "elsewhere"}}, "llm_conf.tokenizer: elsewhere is not in this package"),
        ({"ctc_vocab": "~/.ssh"}, "ctc_vocab: '~/.ssh' leads out of the package"),
        ({"ctc_vocab": "tokenizer"}, "tokenizer/vocabulary.json: no such file"),
        ({"ctc_vocab": 3}, "ctc_vocab is missing or no str; this is not a model of espnet2-sop train"),
        ({"llm_conf": "x"}, "llm_conf is missing or no dict"),
        ({"num_talkers": None}, "num_talkers is missing or no int"),
    ],
)
def test_strange_configurations(copy, changes, message):
    refused(change(copy, **changes), message)


def test_broken_vocabularies(copy):
    for content in ("{", "[]", "{}", '{"kind": "other", "size": 3}'):
        (copy / "ctc_vocab/vocabulary.json").write_text(content)
        refused(copy, r"vocabulary.json(, line 1)?: .*make it again \(espnet2-sop vocab\)")
    (copy / "ctc_vocab/vocabulary.json").write_text('{"kind": "sentencepiece", "size": 3}')
    refused(copy, "spm.model: cannot be read .*make it again")
    (copy / "ctc_vocab/spm.model").write_bytes(b"x" * 99)
    refused(copy, "spm.model: cannot be read .*make it again")


@pytest.mark.parametrize(
    ("source", "revision", "message"),
    [
        ("/no/such/folder", None, "/no/such/folder: no such folder or zip"),
        ("none.zip", None, "none.zip: no such folder or zip"),
        ("a/b/c", None, "a/b/c: no such folder or zip"),
        ("{tmp}", None, "no config.yaml here; give a run folder or what `espnet2-sop pack` made"),
        ("{tmp}", "v1", r"is on this machine; a revision \(v1\) goes with a Hugging Face id"),
        ("{tmp}/text", None, "text: not a zip, or broken"),
    ],
)
def test_what_is_no_package(tmp_path, source, revision, message):
    (tmp_path / "text").write_text("hello")
    with pytest.raises(UserError, match=message):
        open_package(source.format(tmp=tmp_path), revision)
