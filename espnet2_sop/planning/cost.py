"""Parameters, FLOP, memory and hours of a training, computed from its configuration before it is run.

Parameters are counted on models without storage. FLOP are those of matrix products: 2 per weight and frame, and
attention. Memory of activations follows arXiv 2205.05198, section 4 (bytes per token and layer in mixed precision).
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoModel, AutoModelForCausalLM

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.model.build import construct, encoder_choices, llm_choices, separator_choices
from espnet2_sop.model.ctc.serialized import SerializedCTC
from espnet2_sop.model.encoder.downsampler import ConvDownsampler
from espnet2_sop.model.llm.causal_lm import LORA
from espnet2_sop.model.objectives import OBJECTIVES, loss_share
from espnet2_sop.planning.published import config_of

FRAME_RATE = 50  # frames per second of the usual encoders
LAYER_BYTES = 34  # activations of one Transformer layer per token and unit (2205.05198, eq. 1)
ATTENTION_BYTES = 5  # and per pair of tokens and head, where attention keeps its matrix (eq. 1)
LOGIT_BYTES = 14  # logits as bfloat16 and float32, log-probabilities and their gradient
ADAM_BYTES = 12  # gradient and two moments, float32
HEADROOM = 0.9  # share of a GPU's memory that tensors may fill


@dataclass(frozen=True)
class Assumptions:
    """Assumptions about data and machine; printed with every plan.

    Attributes:
        seconds: Length of a mixture.
        tokens: LLM tokens of all talkers per second of mixture, in the target and again in the prompt.
        utilisation: Share of the peak of a GPU that training reaches.
        sentencepiece: Size of a SentencePiece vocabulary.
    """

    seconds: float
    tokens: float
    utilisation: float
    sentencepiece: int = 1000


@dataclass(frozen=True)
class Part:
    """One module in one training.

    Attributes:
        name: Name of the module.
        parameters: Number of parameters.
        trained: Number of parameters in the optimizer.
        bytes_each: Bytes of a weight in memory.
        forward: FLOP of a forward pass per second of audio.
        passes: Cost of training as a multiple of `forward`: 0 unused, 1 forward only, 2 with gradients for the module
            below, 3 with gradients of its own weights, and 1 more with gradient checkpoints.
        activations: Bytes stored for the backward pass of one mixture.
    """

    name: str
    parameters: int
    trained: int
    bytes_each: int
    forward: float
    passes: int
    activations: float


def count(module: nn.Module) -> int:
    """Counts the parameters of a module."""
    return sum(p.numel() for p in module.parameters())


def products(module: nn.Module) -> int:
    """Counts the weights that are multiplied with every frame: all matrices but embeddings."""
    tables = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    return sum(p.numel() for p in module.parameters() if p.dim() > 1 and id(p) not in tables)


def lora_size(llm: nn.Module, conf: dict) -> int:
    """Counts the parameters of one LoRA adapter: r (inputs + outputs) for every adapted matrix.

    Args:
        llm: Model without adapters.
        conf: Keys of `llm_conf.adapters.NAME`.

    Returns:
        Number of parameters.
    """
    conf = {**LORA, **conf}
    targets = tuple(f".{name}" for name in conf["target_modules"])
    found = [m for name, m in llm.named_modules() if name.endswith(targets)]
    return sum(conf["r"] * (m.in_features + m.out_features) for m in found)


def passes(trained: bool, passes_on: bool, checkpoints: bool) -> int:
    """Computes `Part.passes` of a module.

    Args:
        trained: Whether its weights are trained.
        passes_on: Whether a module below it is trained, so that gradients pass through it.
        checkpoints: Whether it has gradient checkpoints.

    Returns:
        Cost of training as a multiple of a forward pass.
    """
    return (3 if trained else 2 if passes_on else 1) + (checkpoints and (trained or passes_on))


def transformer_bytes(tokens: float, width: int, layers: int, heads: int, grad: bool, checkpoints: bool) -> float:
    """Computes the activations that a Transformer stores for one mixture.

    Args:
        tokens: Positions of the mixture.
        width: Units of a layer.
        layers: Number of layers.
        heads: Attention heads; 0 if attention does not store its matrix.
        grad: Whether gradients pass through it; otherwise only one layer is in memory at a time.
        checkpoints: Whether it has gradient checkpoints.

    Returns:
        Bytes.
    """
    layer = LAYER_BYTES * tokens * width + ATTENTION_BYTES * heads * tokens**2
    if not grad:
        return layer
    return layer + 4 * tokens * width * layers if checkpoints else layer * layers


def parts_of(config: dict, about: Assumptions) -> list[Part]:
    """Computes the cost of each module of a training.

    Args:
        config: Merged configuration.
        about: Assumptions.

    Returns:
        The modules, in the order of the data's way.

    Raises:
        UserError: A key is wrong, or a model is not known.
    """
    model_conf, encoder_conf, llm_conf = config["model_conf"], config["encoder_conf"], config["llm_conf"]
    objective, trainable = model_conf["objective"], set(model_conf["trainable"])
    share = loss_share(objective, model_conf.get("ctc_weight"))
    adapters, source = OBJECTIVES[objective].adapters, config.get("prompt_conf", {}).get("sop_source", "ctc")
    reads_sop = "sop" in adapters and source == "ctc"
    slots, tap = config.get("num_talkers", 3), model_conf.get("tap", 2)
    for choices in (encoder_choices, llm_choices):
        if (name := config.get(choices.name, choices.default)) not in choices.classes:
            known = ", ".join(choices.classes)
            raise UserError(f"{choices.name}: the cost of {name} is not known; only that of {known} is computed")
    if llm_choices.get_class(config.get("llm", llm_choices.default)).reads_encoder:
        raise UserError(f"llm: the cost of {config['llm']} is not known, only that of LLMs that read frames as tokens")
    settings = config_of(encoder_conf["pretrained"], "encoder_conf.pretrained")
    llm_settings = config_of(llm_conf["pretrained"], "llm_conf.pretrained")
    vocabulary = about.sentencepiece if config.get("ctc_vocab") == "sentencepiece" else llm_settings.vocab_size
    with torch.device("meta"):
        encoder = AutoModel.from_config(settings)
        encoder = encoder.get_encoder() if settings.model_type == "whisper" else encoder
        width = settings.hidden_size
        cnn = construct("downsampler_conf", ConvDownsampler, config.get("downsampler_conf", {}), input_size=width)
        separator = construct(
            "separator_conf",
            separator_choices.get_class(config.get("separator", separator_choices.default)),
            config.get("separator_conf", {}),
            input_size=cnn.output_size if tap else width,
            num_talkers=slots,
        )
        heads = SerializedCTC(separator.output_size, vocabulary, slots)
        projector = nn.Linear(cnn.output_size, llm_settings.hidden_size)
        llm = AutoModelForCausalLM.from_config(llm_settings)

    frames = about.seconds * FRAME_RATE
    stream_rate = FRAME_RATE / 2**tap
    parts = [_encoder_part(encoder, settings, "encoder" in trainable, encoder_conf, frames)]

    flows = "encoder" in trainable
    rates = [FRAME_RATE / 2 ** (k + 1) for k in range(len(cnn.convs))]
    work = sum(2 * conv.weight.numel() * rate for conv, rate in zip(cnn.convs, rates, strict=True))
    trained = "downsampler" in trainable
    activations = about.seconds * sum(rates) * cnn.output_size * 16
    parts.append(
        Part("downsampler", count(cnn), trained * count(cnn), 4, work, passes(trained, flows, False), activations)
    )

    flows = (flows or trained) and not model_conf.get("ctc_stop_gradient", False)
    used = bool(share) or reads_sop
    for name, module, size in (("separator", separator, separator.output_size * 16), ("ctc", heads, 0)):
        trained = name in trainable
        learns = bool(share) and (flows or trained)
        activations = about.seconds * stream_rate * slots * (size or vocabulary * (LOGIT_BYTES if learns else 6))
        work, cost = 2 * products(module) * stream_rate, used * passes(trained, learns, False)
        parts.append(Part(name, count(module), trained * count(module), 4, work, cost, activations * used))

    reads, speech = objective != "ctc", rates[-1]
    trained = "projector" in trainable
    flows = bool({"encoder", "downsampler"} & trainable)
    work, cost = 2 * products(projector) * speech, reads * passes(trained, flows, False)
    parts.append(Part("projector", count(projector), trained * count(projector), 4, work, cost, 0))
    parts.append(_llm_part(llm, llm_settings, config, speech, bool(adapters), about))
    return parts


def _encoder_part(encoder, settings, trained: bool, conf: dict, frames: float) -> Part:
    """Convolutions from waveform or mel bins to frames, and the Transformer over them."""
    if settings.model_type == "whisper":
        convolutions, transformer = nn.ModuleList([encoder.conv1, encoder.conv2]), encoder.layers
        never = count(convolutions) + count(encoder.embed_positions)
        work = 2 * (100 * products(encoder.conv1) + FRAME_RATE * products(encoder.conv2))
        layers, matrix = settings.encoder_layers, 0
    else:
        convolutions, transformer = (
            encoder.feature_extractor,
            nn.ModuleList([encoder.feature_projection, encoder.encoder]),
        )
        never = count(convolutions)
        strides = [math.prod(settings.conv_stride[: i + 1]) for i in range(len(settings.conv_stride))]
        stages = convolutions.conv_layers
        work = sum(2 * products(layer) * 16000 / stride for layer, stride in zip(stages, strides, strict=True))
        layers, matrix = settings.num_hidden_layers, settings.num_attention_heads
    checkpoints = conf.get("gradient_checkpointing", False)
    work += 2 * products(transformer) * FRAME_RATE + 4 * frames * settings.hidden_size * layers * FRAME_RATE
    activations = transformer_bytes(frames, settings.hidden_size, layers, matrix, trained, checkpoints)
    size = count(encoder)
    return Part("encoder", size, trained * (size - never), 4, work, passes(trained, False, checkpoints), activations)


def _llm_part(llm, settings, config: dict, speech: float, reads: bool, about: Assumptions) -> Part:
    """Frozen LLM with its adapters: gradients pass through, weights get none."""
    conf, trainable = config["llm_conf"], config["model_conf"]["trainable"]
    own = {name: lora_size(llm, conf.get("adapters", {}).get(name, {})) for name in ("sot", "sop")}
    own["sot"] += settings.hidden_size * (1 if settings.tie_word_embeddings else 2)  # the rows of <sc>
    has_sop = "sop" in OBJECTIVES[config["model_conf"]["objective"]].adapters
    rate = speech + about.tokens * (2 if has_sop else 1)
    layers, width = settings.num_hidden_layers, settings.hidden_size
    output = width * settings.vocab_size
    body = products(llm) - (0 if settings.tie_word_embeddings else output)
    work = 2 * body * rate + 2 * output * about.tokens + 4 * rate * about.seconds * width * layers * rate
    checkpoints = conf.get("gradient_checkpointing", False)
    activations = transformer_bytes(rate * about.seconds, width, layers, 0, True, checkpoints)
    activations += about.tokens * about.seconds * settings.vocab_size * LOGIT_BYTES
    return Part(
        "llm",
        count(llm) + sum(own.values()),
        sum(own[name] for name in own if name in trainable),
        2 if conf.get("dtype") == "bfloat16" else 4,
        work,
        reads * passes(False, True, checkpoints),
        activations * reads,
    )


@dataclass(frozen=True)
class Plan:
    """A training and its parts.

    Attributes:
        name: Name of the configuration.
        parts: Its modules.
        audio: Seconds of audio, with padding, that the whole training reads.
    """

    name: str
    parts: list[Part]
    audio: float

    @property
    def trained(self) -> int:
        """Number of parameters in the optimizer."""
        return sum(part.trained for part in self.parts)

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(part.parameters for part in self.parts)

    @property
    def fixed_bytes(self) -> float:
        """Bytes that do not depend on the batch: weights, gradients, optimizer."""
        return sum(part.parameters * part.bytes_each + part.trained * ADAM_BYTES for part in self.parts)

    @property
    def mixture_bytes(self) -> float:
        """Bytes of the activations of one mixture."""
        return sum(part.activations for part in self.parts)

    @property
    def flop(self) -> float:
        """FLOP of training per second of audio."""
        return sum(part.forward * part.passes for part in self.parts)

    def batch(self, gigabytes: float) -> int:
        """Computes how many mixtures of a batch fit a GPU of so many gigabytes; 0: not even one."""
        room = HEADROOM * gigabytes * 1e9 - self.fixed_bytes
        return max(0, int(room // self.mixture_bytes))

    def hours(self, teraflops: float, utilisation: float) -> float:
        """Computes the hours of the whole training on one GPU.

        Args:
            teraflops: Peak of the GPU in TFLOP/s.
            utilisation: Share of the peak that training reaches.

        Returns:
            Hours.
        """
        return self.flop * self.audio / (teraflops * 1e12 * utilisation) / 3600


def make_plan(name: str, config: dict, about: Assumptions) -> Plan:
    """Plans one training.

    Args:
        name: Name of the configuration.
        config: Merged configuration.
        about: Assumptions.

    Returns:
        The plan.
    """
    batches = config["max_epoch"] * config["num_iters_per_epoch"]
    return Plan(name, parts_of(config, about), batches * config["batch_bins"] / SAMPLE_RATE)
