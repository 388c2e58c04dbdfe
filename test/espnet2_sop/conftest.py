"""Data directories of the small corpus, tiny pretrained parts as Hugging Face folders, and models over them."""

import argparse
from pathlib import Path

import pytest

from espnet2_sop.mixture.simulation.pool import NoiseFile, Utterance
from espnet2_sop.mixture.simulation.rule import SimulationConfig

RULE = {
    "seed": 1,
    "mixtures_per_epoch": 8,
    "talkers": {1: 0.3, 2: 0.3, 3: 0.4},
    "onsets": [[0.1, 0.3], [0.4, 0.6]],
    "level_db": [-30, -25],
    "noise_prob": 0.5,
    "noise_level_db": [-38, -30],
    "speed": [0.9, 1.1],
    "max_duration": 8,
}
WORDS = "red blue green white one two three four cup box key ball put take the near go to now please"
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>"]
CHAT = (
    "{% for m in messages %}<|begin_of_text|>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)

TRAINING = {
    **{"version": "202611", "max_epoch": 2, "seed": 1, "output_dir": "exp/secret_place"},
    **{"optim": "adamw", "optim_conf": {"lr": 0.1}, "scheduler": None, "scheduler_conf": {}},
    "train_data_path_and_name_and_type": [["dump/train/mixtures.jsonl", "speech", "mixture"]],
}


@pytest.fixture(scope="session")
def write_rule():
    """Writes the rule of a simulation: write_rule(path, **changes) returns the path."""
    import yaml

    def write(path: Path, **changes) -> Path:
        path.write_text(yaml.safe_dump(RULE | changes))
        return path

    return write


@pytest.fixture(scope="session")
def make_data(corpus, write_rule):
    """Makes formatted data directories `train`, a simulation, and `dev`, the mixtures of LibriMix CSVs.

    make_data(folder for all of it, CSVs of dev, condition of dev, **changes of the rule) returns where they are.
    """
    from espnet2_sop.bin import format, prepare

    def make(root: Path, csvs: list[Path], condition: str = "clean", **changes) -> Path:
        def run(mode: str, noise: Path, name: str, *options) -> None:
            speech = ["--speech_root", corpus.speech, "--noise_root", noise]
            prepare.main([mode, *map(str, [*speech, *options, "--out", root / "data" / name])])
            format.main(["--min_duration", "0.1", str(root / "data" / name), str(root / "dump" / name)])

        rule = write_rule(root / "rule.yaml", **changes)
        run("simulation", corpus.noise / "tr", "train", "--subset", "train-mini", "--config", rule)
        run("librimix", corpus.noise, "dev", "--condition", condition, "--csv", *csvs)
        return root / "dump"

    return make


def save_llm(folder, tied: bool = True):
    """A Llama of two layers with random weights and a byte-level BPE tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator([f" {WORDS}"] * 50, trainer)
    hf = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[1])
    hf.chat_template = CHAT
    hf.save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(hf),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.2,
        tie_word_embeddings=tied,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def save_encoder(folder, norm: str = "layer"):
    """A WavLM of two layers with random weights; 320 samples a frame as the large ones."""
    import torch
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMModel

    torch.manual_seed(2)
    config = WavLMConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16,) * 7,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=1,  # in groups of 12 channels, bfloat16 on CPUs with AMX is wrong (oneDNN)
        num_buckets=16,
        max_bucket_distance=32,
        mask_time_prob=0.05,
        mask_time_length=2,
    )
    WavLMModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=True).save_pretrained(folder)
    return str(folder)


SUPPRESSED = list(range(260, 290))  # tokens that the tiny Whisper's own generation would never write


def save_whisper(folder, tokenizer):
    """A Whisper with random weights, 20 mel bins and the tokenizer of another folder; 320 samples a frame."""
    import torch
    from transformers import AutoTokenizer, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    words = AutoTokenizer.from_pretrained(tokenizer)
    words.save_pretrained(folder)
    torch.manual_seed(3)
    config = WhisperConfig(
        vocab_size=len(words),
        d_model=24,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_mel_bins=20,
        max_target_positions=200,
        init_std=0.2,
        pad_token_id=words.eos_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        decoder_start_token_id=words.bos_token_id,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config.suppress_tokens = SUPPRESSED
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=20).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory, tiny_llm):
    return save_whisper(tmp_path_factory.mktemp("whisper"), tiny_llm)


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("llm"))


@pytest.fixture(scope="session")
def untied_llm(tmp_path_factory):
    return save_llm(tmp_path_factory.mktemp("untied_llm"), tied=False)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def group_norm_encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("group_norm_encoder"), norm="group")


@pytest.fixture(scope="session")
def llm_vocab(tmp_path_factory, tiny_llm):
    from espnet2_sop.bin import vocab

    folder = tmp_path_factory.mktemp("vocab")
    (folder / "model.yaml").write_text(f"llm_conf: {{pretrained: {tiny_llm}}}")
    vocab.main(["--kind", "llm", "--config", str(folder / "model.yaml"), "--out", str(folder)])
    return str(folder)


@pytest.fixture(scope="session")
def options(tiny_llm, tiny_encoder, llm_vocab):
    """Builds the values of the task's options: options(objective, trainable, **changes)."""

    def build(objective: str, trainable: list[str], **changes) -> argparse.Namespace:
        values = {
            "encoder": "huggingface",
            "encoder_conf": {"pretrained": tiny_encoder},
            "downsampler_conf": {"output_size": 32},
            "separator": "lstm",
            "separator_conf": {"hidden_size": 16, "branch_size": 24, "branch_layers": 1},
            "llm_conf": {"pretrained": tiny_llm},
            "prompt_conf": {},
            "ctc_vocab": llm_vocab,
            "num_talkers": 3,
            "init_param": [],
            "model_conf": {"objective": objective, "trainable": trainable},
        }
        return argparse.Namespace(**{**values, **changes})

    return build


@pytest.fixture(scope="session")
def make_run(options, tmp_path_factory):
    """Makes a run folder of a model with random weights: make_run(**changes of the configuration)."""
    import torch
    import yaml

    from espnet2_sop.model.build import build_model

    def make(**changes):
        args = options("sop", ["sop"], **changes)
        torch.manual_seed(5)
        model = build_model(args)
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "lora_" in name or "sc_" in name:
                    p.normal_(std=0.3)
        run = tmp_path_factory.mktemp("run")
        (run / "config.yaml").write_text(yaml.safe_dump(vars(args) | TRAINING))
        torch.save(model.state_dict(), run / "valid.acc.ave.pth")
        return run

    return make


@pytest.fixture(scope="session")
def data(make_data, corpus, tmp_path_factory):
    """Data directories train, of six mixtures an epoch, and dev, which has two mixtures."""
    root = tmp_path_factory.mktemp("data")
    (root / "two.csv").write_text("".join(corpus.csv[2].read_text().splitlines(keepends=True)[:3]))
    return make_data(root, [root / "two.csv"], mixtures_per_epoch=6)


@pytest.fixture(scope="session")
def write_config(tiny_encoder, tiny_llm, llm_vocab):
    """Writes the configuration of a training of tiny parts: write_config(path, **changes, key by key); its path."""
    import yaml

    from espnet2_sop.io.files import merge

    tiny = {
        "encoder_conf": {"pretrained": tiny_encoder},
        "downsampler_conf": {"output_size": 32},
        "separator_conf": {"hidden_size": 16, "branch_size": 24},
        "llm_conf": {"pretrained": tiny_llm},
        "ctc_vocab": llm_vocab,
        "batch_type": "numel",
        "batch_bins": 60000,
        "num_workers": 0,
        "use_matplotlib": False,
        "optim": "adamw",
        "optim_conf": {"lr": 0.01},
        "best_model_criterion": [["valid", "loss", "min"]],
        "keep_nbest_models": 2,
    }

    def write(path, **changes) -> str:
        path.write_text(yaml.safe_dump(merge(tiny, changes)))
        return str(path)

    return write


@pytest.fixture(scope="session")
def data_options():
    """Options of a training for its data: data_options(simulation or manifest, data directory of dev)."""

    def build(train, dev) -> list[str]:
        words = ["--valid_shape_file", f"{dev}/speech_shape"]
        for mode, path in (("train", train), ("valid", f"{dev}/mixtures.jsonl")):
            for name, kind in (("speech", "mixture"), ("text", "mixture_text")):
                words += [f"--{mode}_data_path_and_name_and_type", f"{path},{name},{kind}"]
        return words

    return build


@pytest.fixture(scope="session")
def train(make_data, corpus, write_config, data_options, tmp_path_factory):
    """Runs `espnet2-sop train` for a stage: train(out, objective, trainable, *options, train_data=FILE)."""
    from espnet2_sop.bin import train as command

    data = make_data(tmp_path_factory.mktemp("data"), list(corpus.csv.values()), "both")

    def run(out, objective, trainable, *options, train_data=data / "train/simulation.yaml"):
        stage = {"objective": objective, "trainable": list(trainable)}
        config = write_config(out.parent / f"{out.name}.yaml", model_conf=stage)
        command.main(["--config", config, "--output_dir", str(out), *data_options(train_data, data / "dev"), *options])
        return out

    run.data = data
    return run


def random_model(values):
    """A SOPModel with random weights."""
    import torch

    from espnet2_sop.model.build import build_model

    torch.manual_seed(3)
    model = build_model(values)
    for p in model.llm.adapter_parameters("sot") + model.llm.adapter_parameters("sop"):
        torch.nn.init.normal_(p, std=0.3)  # LoRA starts at zero: nothing would depend on it
    return model


@pytest.fixture
def model(options):
    """A SOPModel of stage 3 with random weights, in evaluation mode."""
    return random_model(options("sop", ["sop"])).eval()


@pytest.fixture(scope="session")
def whisper_parts(tiny_whisper):
    """What changes a configuration of `options` to one with Whisper's decoder."""
    adapter = {"r": 4, "target_modules": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]}
    return {
        "llm": "whisper",
        "llm_conf": {"pretrained": tiny_whisper, "adapters": {"sot": adapter, "sop": adapter}},
        "prompt_conf": {"before_speech": "go"},
    }


@pytest.fixture(scope="session")
def heads_adapter(whisper_parts, tiny_whisper):
    """The same, and the heads have an adapter of the encoder."""
    lora = {"r": 4, "lora_alpha": 8}
    return {**whisper_parts, "encoder_conf": {"pretrained": tiny_whisper, "lora": lora, "heads_lora": lora}}


@pytest.fixture
def whisper_model(options, whisper_parts):
    """The same as `model` with Whisper's decoder."""
    return random_model(options("sop", ["sop"], **whisper_parts)).eval()


@pytest.fixture
def heads_model(options, heads_adapter):
    """The same, and the heads have an adapter of the encoder, which changes what they read."""
    import torch

    model = random_model(options("sop", ["sop"], **heads_adapter)).eval()
    for p in model.parameters_by_part()["encoder_heads"]:
        torch.nn.init.normal_(p, std=0.3)
    return model


@pytest.fixture(scope="session")
def package(options, tmp_path_factory):
    """The run folder of a stage-3 model with random weights."""
    import torch
    import yaml

    values = options("sop", ["sop"])
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(values)))
    torch.save(random_model(values).state_dict(), folder / "valid.acc.ave.pth")
    return folder


@pytest.fixture
def waves():
    """Three waveforms of different lengths, float32, 16 kHz."""
    import numpy as np

    rng = np.random.default_rng(4)
    return [rng.standard_normal(n).astype("float32") for n in (9000, 16000, 12345)]


@pytest.fixture
def recordings(tmp_path, waves):
    """Four files: a mixture, the same in two channels of floating point, a longer one, and a silent one."""
    import numpy as np
    import soundfile

    soundfile.write(tmp_path / "a.wav", waves[0], 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "stereo.wav", np.stack([1.5 * waves[0], waves[0] / 2], 1), 16000, subtype="DOUBLE")
    soundfile.write(tmp_path / "b.flac", np.concatenate(waves) / 5, 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    return [str(tmp_path / name) for name in ("a.wav", "stereo.wav", "b.flac", "silent.wav")]


@pytest.fixture(scope="session")
def tokenizer(tiny_llm):
    from espnet2_sop.text.llm_tokenizer import LLMTokenizer

    return LLMTokenizer(tiny_llm)


@pytest.fixture(scope="session")
def build_llm(tokenizer):
    """Builds an LLM with two active adapters of random weights: build_llm(folder, seed, **options of the class)."""
    import torch

    from espnet2_sop.model.llm.causal_lm import AdaptedCausalLM

    def build(folder, seed=5, **kwargs):
        torch.manual_seed(seed)
        llm = AdaptedCausalLM(folder, tokenizer.sc_id, {"sot": {"r": 4}, "sop": {"r": 4}}, **kwargs)
        for name in ("sot", "sop"):
            for p in llm.adapter_parameters(name):
                torch.nn.init.normal_(p, std=0.3)
        llm.activate(["sot", "sop"])
        return llm.eval()

    return build


@pytest.fixture(scope="session")
def slow_greedy():
    """Greedy decoding without cache and batch: slow_greedy(llm, inputs, row, eos, steps) gives the ids of a row."""
    import torch

    def write(llm, inputs, row, eos, steps):
        embeds, speech = inputs.embeds[row, inputs.mask[row]][None], inputs.speech and inputs.speech.rows([row])
        ids = []
        for _ in range(steps):
            mask = torch.ones(embeds.shape[:2], dtype=torch.bool)
            hidden = llm.hidden_states(embeds, mask, torch.arange(embeds.size(1))[None], speech=speech)
            token = int(llm.logits(hidden[:, -1]).argmax())
            if token == eos:
                break
            ids.append(token)
            embeds = torch.cat([embeds, llm.embed(torch.tensor([[token]]))], 1)
        return ids

    return write


@pytest.fixture(scope="session")
def config():
    return SimulationConfig(
        seed=1,
        mixtures_per_epoch=60,
        talkers={1: 0.2, 2: 0.4, 3: 0.4},
        onsets=((0.75, 1.25), (1.6, 2.1)),
        level_db=(-33.0, -25.0),
        noise_prob=0.5,
        noise_level_db=(-38.0, -30.0),
        speed=(0.87, 1.15),
        max_duration=8.0,
    )


@pytest.fixture(scope="session")
def pool():
    """Six speakers with ten utterances each, from 1 to 1.9 s."""
    return [
        Utterance(f"{s}-1-{n:04d}", f"{s}-{n}.flac", str(s), "ONE TWO", 16000 + 1600 * n, -20.0 - n)
        for s in range(6)
        for n in range(10)
    ]


@pytest.fixture(scope="session")
def noises():
    return [NoiseFile("long.wav", 300_000, -30.0), NoiseFile("short.wav", 8000, -25.0)]
