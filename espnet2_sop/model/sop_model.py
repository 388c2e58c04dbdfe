"""The ESPnet2 model: speech encoder, Separator with serialized CTC, and an LLM that reads the prompt."""

import torch
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel
from rapidfuzz.distance import Levenshtein

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.model.ctc.embedding import EmbeddingCTC
from espnet2_sop.model.ctc.serialized import SerializedCTC, TalkerTokens
from espnet2_sop.model.ctc.table import from_table
from espnet2_sop.model.encoder.abs_encoder import HEADS_ADAPTER, AbsEncoder
from espnet2_sop.model.encoder.downsampler import ConvDownsampler
from espnet2_sop.model.front_end import FrontEnd
from espnet2_sop.model.llm.causal_lm import AdaptedCausalLM
from espnet2_sop.model.llm.loss import label_loss
from espnet2_sop.model.llm.prompt import LLMInput, PromptBuilder, corrupt
from espnet2_sop.model.objectives import OBJECTIVES, loss_share
from espnet2_sop.model.separator.abs_separator import AbsSeparator
from espnet2_sop.model.stream_loss import stream_loss
from espnet2_sop.text.llm_tokenizer import LLMTokenizer, join
from espnet2_sop.text.vocabulary import TalkerVocabulary

IGNORE = -1  # padding of text


class SOPModel(FrontEnd, AbsESPnetModel):
    """Serialized Output Prompting (arXiv 2509.04488).

    Args:
        encoder: Waveform to frames.
        downsampler: Stride-2 blocks; the last one feeds the LLM.
        separator: Fed from block `tap`.
        ctc: Serialized CTC heads, vocabulary without blank.
        projector: Linear, downsampler width to LLM width.
        llm: With the adapters `sot` and `sop`.
        tokenizer: The LLM's.
        vocabulary: Of the CTC heads.
        prompt: Builds the LLM's input.
        objective: `sot` (stage 1), `ctc` (stage 2), `sop` (stage 3), or `joint`: all of `trainable` at once, the
            LLM reading the prompt of the heads that learn beside it (the paper's single-stage ablation). `align`
            (stage 0, not in the paper) trains what is new before the LLM reads it: the frames of single talkers by
            CTC against the LLM's embeddings, and the heads by serialized CTC.
        trainable: Modules that this stage trains, of `encoder`, `downsampler`, `separator`, `ctc`, `projector`,
            `sot`, `sop` (these two are adapters) and, where the encoder has an adapter for the heads, `encoder_heads`.
        tap: Where the Separator is fed from: 0 is the encoder, k the k-th downsampling block.
        sop_corruption: Share of prompt tokens spoiled in training (`llm.prompt.corrupt`).
        ctc_weight: Share w of the loss (1 - w) CE + w CTC; when not given 0.3 for `joint`, 0.9 for `align`
            (whose other loss takes the place of CE), 0 for `sot` and `sop`. With more than 0, stage 1 trains the
            Separator and the heads, too.
        ctc_stop_gradient: The Separator reads frames without gradient, so that CTC does not change the encoder.
        all_heads: Every head writes a single talker, not the first alone: for a training on single talkers, in which
            all of them find words in the frames before mixtures teach them whom to follow.
        stream_weight: With more than 0, the Separator's streams of simulated mixtures also learn to be what the model
            makes of each talker alone (`streams.stream_loss`), which is added to the CTC loss times this weight.
        extract_feats_in_collect_stats: Read by ESPnet's trainer; shapes come from the manifest, so it is false.
    """

    def __init__(
        self,
        encoder: AbsEncoder,
        downsampler: ConvDownsampler,
        separator: AbsSeparator,
        ctc: SerializedCTC,
        projector: torch.nn.Linear,
        llm: AdaptedCausalLM,
        tokenizer: LLMTokenizer,
        vocabulary: TalkerVocabulary,
        prompt: PromptBuilder,
        objective: str,
        trainable: list[str],
        tap: int = 2,
        sop_corruption: float = 0.0,
        ctc_weight: float | None = None,
        ctc_stop_gradient: bool = False,
        all_heads: bool = False,
        stream_weight: float = 0.0,
        extract_feats_in_collect_stats: bool = False,
    ):
        super().__init__(encoder, downsampler, separator, ctc, tap, trainable, ctc_stop_gradient, llm.reads_encoder)
        loss_share(objective, ctc_weight)  # before anything is used: a wrong value is an error
        self.wanted_ctc_weight = ctc_weight
        self.projector = projector
        self.llm = llm
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.prompt = prompt
        self.sop_corruption = sop_corruption
        if all_heads and not loss_share(objective, ctc_weight):
            raise UserError(f"model_conf.all_heads: objective {objective} has no CTC loss here; leave it out")
        self.all_heads = all_heads
        if stream_weight < 0:
            raise UserError(f"model_conf.stream_weight: {stream_weight} is below 0")
        if stream_weight and not (loss_share(objective, ctc_weight) and "separator" in trainable):
            raise UserError("model_conf.stream_weight: needs a CTC loss and separator in model_conf.trainable")
        self.stream_weight = stream_weight
        self.embedding_ctc: EmbeddingCTC | None = None
        if objective == "align" and llm.reads_encoder:
            raise UserError("model_conf.objective: Whisper's decoder has nothing to align; start with sot")
        if objective == "align":
            self.embedding_ctc = EmbeddingCTC(llm.base.get_input_embeddings())
            self.embedding_ctc.start(projector)
        self.extract_feats_in_collect_stats = extract_feats_in_collect_stats
        self.use(objective)
        self._choose_trained(trainable)

    @property
    def num_talkers(self) -> int:
        """Talker slots S."""
        return len(self.ctc.heads)

    @property
    def ctc_frame_seconds(self) -> float:
        """Time from one frame of the CTC heads to the next."""
        return self.encoder.stride * 2**self.tap / SAMPLE_RATE

    @property
    def sop_source(self) -> str:
        """Where the prompt of the present objective comes from, as in `prompt_conf.sop_source`."""
        return self.prompt.sop_source if "sop" in OBJECTIVES[self.objective] else "none"

    def use(self, objective: str) -> None:
        """Sets what `forward` and decoding do; training state is not changed by it."""
        self.objective = objective
        self.ctc_weight = loss_share(objective, None if objective == "ctc" else self.wanted_ctc_weight)
        if OBJECTIVES[objective]:
            needs = {p: p.requires_grad for p in self.llm.parameters()}
            self.llm.activate(OBJECTIVES[objective])
            for p, flag in needs.items():
                p.requires_grad_(flag)

    def parameters_by_part(self) -> dict[str, list[torch.nn.Parameter]]:
        """What `trainable` may name, and its parameters."""
        plain = ("downsampler", "separator", "ctc", "projector")
        parts = {name: list(getattr(self, name).parameters()) for name in plain}
        frozen = self.encoder.never_trained
        learns = {name: p for name, p in self.encoder.named_parameters() if not name.startswith(frozen)}
        parts["encoder"] = [p for name, p in learns.items() if f".{HEADS_ADAPTER}." not in name]
        if self.encoder.heads_adapter:
            parts[HEADS_ADAPTER] = [p for name, p in learns.items() if f".{HEADS_ADAPTER}." in name]
        parts |= {name: self.llm.adapter_parameters(name) for name in ("sot", "sop")}
        return parts

    def _choose_trained(self, trainable: list[str]) -> None:
        parts = self.parameters_by_part()
        for name in trainable:
            if name not in parts:
                raise UserError(f"model_conf.trainable: no module {name!r}; known: {', '.join(sorted(parts))}")
        self.requires_grad_(False)
        for name in trainable:
            for p in parts[name]:
                p.requires_grad_(True)

    def train(self, mode: bool = True):
        """Modules that this stage does not train stay in evaluation mode (no dropout, no masking)."""
        super().train(mode)
        for name in ("encoder", "downsampler", "separator", "ctc", "projector"):
            if not {name, *((HEADS_ADAPTER,) if name == "encoder" else ())} & set(self.trainable):
                getattr(self, name).eval()
        if not {"sot", "sop"} & set(self.trainable):
            self.llm.eval()
        return self

    # ---------------------------------------------------------------- forward

    def sop(self, talkers: list[list[TalkerTokens]]) -> list[list[int]]:
        """CTC output -> prompt ids of the LLM, B lists. No gradient flows through it."""
        return [self.prompt.sop_ids([self._spell(slot) for slot in row]) for row in talkers]

    def reference_sop(self, targets: list[list[int]]) -> list[list[int]]:
        """Serialized target ids -> prompt ids as if the heads had made no mistake, B lists."""
        return [self.prompt.sop_ids(self.tokenizer.split(target)) for target in targets]

    def _spell(self, slot: TalkerTokens) -> list[int]:
        """CTC output of one talker -> its prompt ids, with marks at doubtful words."""
        if not self.prompt.confidence_mark:
            return self.llm_ids(slot.tokens)
        words = slot.words(self.vocabulary.starts_word)
        return [token for word in words for token in self.prompt.marked(self.llm_ids(word.tokens), word.confidence)]

    def llm_input(self, levels, sop: list[list[int]] | None = None, targets: list[list[int]] | None = None) -> LLMInput:
        """What the LLM reads; output of `encode`, prompt ids, and in training the ids that each row shall write."""
        frames, lengths = levels[0 if self.llm_reads_encoder else -1]
        return self.prompt.build(self.llm, self.projector(frames), lengths, sop, targets)

    def llm_ids(self, tokens: list[int]) -> list[int]:
        """CTC tokens of one talker -> ids of the LLM's tokenizer."""
        if self.vocabulary is self.tokenizer:
            return tokens
        return self.tokenizer.encode(self.vocabulary.decode(tokens))

    def forward(
        self,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        speech: torch.Tensor | None = None,
        speech_lengths: torch.Tensor | None = None,
        frames: torch.Tensor | None = None,
        frames_lengths: torch.Tensor | None = None,
        sop: torch.Tensor | None = None,
        sop_lengths: torch.Tensor | None = None,
        talkers: torch.Tensor | None = None,
        talkers_lengths: torch.Tensor | None = None,
        **talker_texts: torch.Tensor,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Loss of the stage's objective.

        Args:
            text: (B, U) ids of the serialized text with `<sc>` and end of sequence, padded with -1.
            text_lengths: (B,).
            speech: (B, T) float, 16 kHz, zero-padded.
            speech_lengths: (B,) samples.
            frames: (B, F, D) instead of speech: frames of level `kept_level` that were kept, zero-padded.
            frames_lengths: (B,).
            sop: (B, N, 4) output of the CTC heads that was kept (`ctc.table`); computed when not given.
            sop_lengths: (B,).
            talkers: (B, T, S) float, 16 kHz, each talker of `speech` alone; for `stream_weight`.
            talkers_lengths: (B,) samples.
            talker_texts: `text_spk1`, `text_spk1_lengths`, ... for all S slots: (B, U_i) CTC ids in start order.

        Returns:
            Loss, statistics for the log, and the batch size as weight, all (1,) so that ESPnet can average them over
            processes.
        """
        if frames is None:
            heads = bool(self.ctc_weight) or (self.sop_source == "ctc" and sop is None)
            speech = speech[:, : int(speech_lengths.max())]
            levels = self.encode(speech, speech_lengths, llm=self.ctc_weight < 1, heads=heads)
        else:
            levels = self.from_kept(frames, frames_lengths)
        streams, heads = None, None
        if self.ctc_weight:
            streams, lengths = self.streams(levels)
            heads = self.ctc(streams), lengths
        parts, stats = [], {}
        if self.ctc_weight < 1:
            targets = [row[:n].tolist() for row, n in zip(text, text_lengths, strict=True)]
            if self.objective == "align":
                name, loss = "loss_align", self._alignment_loss(levels, targets)
            else:
                name = "loss_ce"
                kept = None
                if sop is not None:
                    kept = [from_table(row[:n], self.num_talkers) for row, n in zip(sop, sop_lengths, strict=True)]
                loss, stats = self._llm_loss(levels, targets, heads, kept)
            parts.append((1 - self.ctc_weight, name, loss))
        if self.ctc_weight:
            loss, ctc_stats = self._ctc_loss(*heads, talker_texts)
            parts.append((self.ctc_weight, "loss_ctc", loss))
            stats |= ctc_stats
            if self.stream_weight and talkers is not None:
                loss, counted = stream_loss(self, streams, talkers)
                loss = loss * mean_share(counted, len(talkers), loss.device)
                parts.append((self.ctc_weight * self.stream_weight, "loss_stream", loss))
        if len(parts) > 1:
            stats |= {name: loss.detach() for _, name, loss in parts}
        loss = sum(share * part for share, _, part in parts)
        return force_gatherable((loss, {"loss": loss.detach(), **stats}, float(text.size(0))), loss.device)

    def _llm_loss(self, levels, targets: list[list[int]], heads=None, talkers=None) -> tuple[torch.Tensor, dict]:
        """Cross entropy over the labels of the batch; logits exist at label positions only.

        Args:
            levels: Output of `encode`.
            targets: Ids each row shall write.
            heads: Log-probabilities of the CTC heads and their lengths where they are known already.
            talkers: Output of `talkers` where it is known already.
        """
        sop, stats = self._training_prompt(levels, targets, heads, talkers)
        inputs = self.llm_input(levels, sop, targets)
        hidden = self.llm.hidden_states(inputs.embeds, inputs.mask, inputs.positions, speech=inputs.speech)
        loss, correct = label_loss(self.llm, hidden[inputs.label_rows, inputs.label_columns], inputs.labels)
        share = mean_share(len(inputs.labels), len(targets), loss.device)
        stats["acc"] = correct * share
        return loss * share, stats

    def _alignment_loss(self, levels, targets: list[list[int]]) -> torch.Tensor:
        """CTC of the projected frames against the LLM's embeddings, mean over single talkers (of all processes)."""
        frames, lengths = levels[-1]
        words = [self.tokenizer.split(target) for target in targets]
        single = [i for i, talkers in enumerate(words) if len(talkers) == 1]
        share = mean_share(len(single), len(targets), frames.device)
        if not single:
            return self.projector(frames[:0]).sum()
        frames = self.projector(frames[single, : int(lengths[single].max())])
        return self.embedding_ctc.loss(frames, lengths[single], [words[i][0] for i in single]).sum() * share

    def _training_prompt(self, levels, targets, heads, talkers) -> tuple[list[list[int]] | None, dict]:
        """The prompts that the LLM reads in training, and how wrong those of the heads are."""
        if self.sop_source == "none":
            return None, {}
        stats = {}
        if self.sop_source == "reference":
            sop = self.reference_sop(targets)
        else:
            talkers = talkers or self.talkers(levels, heads)
            sop = self.sop(talkers)
            words = [join([self.llm_ids(slot.tokens) for slot in row], self.tokenizer.sc_id) for row in talkers]
            stats["sop_error"] = token_error(words, [target[:-1] for target in targets], levels[-1][0].device)
        if self.training:
            sop = [corrupt(ids, self.sop_corruption) for ids in sop]
        return sop, stats

    def _ctc_loss(self, log_probs, lengths, talker_texts: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict]:
        """Mean over slots and mixtures of the CTC loss, slot i against the talker who starts i-th."""
        slots = range(1, self.num_talkers + 1)
        targets = [(talker_texts[f"text_spk{i}"].clamp(min=0), talker_texts[f"text_spk{i}_lengths"]) for i in slots]
        if self.all_heads:
            targets = for_all_heads(targets)
        losses, impossible = self.ctc.loss(log_probs, lengths, targets)
        stats = {f"loss_spk{i}": losses[:, i - 1].mean().detach() for i in slots}
        stats["too_long"] = impossible.float().sum()
        if not self.training:
            greedy = self.ctc.greedy(log_probs, lengths)
            for i, (ids, n) in enumerate(targets):
                reference = [row[:k].tolist() for row, k in zip(ids, n, strict=True)]
                stats[f"ter_spk{i + 1}"] = token_error([row[i].tokens for row in greedy], reference, lengths.device)
            stats["ter"] = sum(stats[f"ter_spk{i}"] for i in slots) / self.num_talkers
        return losses.mean(), stats

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Not needed: shapes come from the manifest (`espnet2-sop format`)."""
        raise RuntimeError("statistics come from the manifest: use `espnet2-sop format` and `espnet2-sop stats`")


def mean_share(counted: int, mixtures: int, device) -> torch.Tensor:
    """What turns a sum over labels or talkers into their mean; over all processes if there are several.

    ESPnet weighs the losses of the processes by their numbers of mixtures. With this factor the weighted mean is that
    over what was counted in all, so that two processes train as one that has both batches.
    """
    total = torch.tensor([float(counted), float(mixtures)], device=device)
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
    return total[1] / (total[0].clamp(min=1) * mixtures)


def for_all_heads(targets: list[tuple[torch.Tensor, torch.Tensor]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The talker of each single-talker row as the target of all slots; rows of several talkers stay.

    Args:
        targets: For each of S slots ids (B, U_i), padded with anything, and lengths (B,).

    Returns:
        The same; ids of slot i are (B, max(U_1, U_i)).
    """
    first, length = targets[0]
    single = torch.stack([n for _, n in targets])[1:].sum(0) == 0
    copied = [targets[0]]
    for ids, n in targets[1:]:
        width = max(ids.size(1), first.size(1))
        ids, spoken = (torch.nn.functional.pad(x, (0, width - x.size(1))) for x in (ids, first))
        copied.append((torch.where(single[:, None], spoken, ids), torch.where(single, length, n)))
    return copied


def token_error(hypotheses: list[list[int]], references: list[list[int]], device) -> torch.Tensor:
    """Edit distance over reference length, summed over the rows; insertions into empty references count."""
    pairs = list(zip(hypotheses, references, strict=True))
    errors = sum(Levenshtein.distance(h, r) for h, r in pairs)
    return torch.tensor(errors / max(sum(len(r) for _, r in pairs), 1), device=device)
