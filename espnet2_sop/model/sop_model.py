"""The model of the paper, from speech to the loss: a front end, the prompt that it writes, and an LLM that reads it."""

from typing import Self, override

import torch
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture import SAMPLE_RATE
from espnet2_sop.model.ctc.embedding import EmbeddingCTC
from espnet2_sop.model.ctc.serialized import TalkerTokens
from espnet2_sop.model.ctc.table import from_table
from espnet2_sop.model.front_end import FRONT_END, FRONT_MODULES, EncodedSpeech, FrontEnd
from espnet2_sop.model.llm.causal_lm import LLM_ADAPTERS, AdaptedCausalLM
from espnet2_sop.model.llm.prompt import LLMInput, PromptBuilder, corrupt
from espnet2_sop.model.objectives import OBJECTIVES, CTCOutput, Stats, Step, loss_share, token_error
from espnet2_sop.text.llm_tokenizer import LLMTokenizer, join
from espnet2_sop.text.vocabulary import TalkerVocabulary

IGNORE = -1  # padding of text


class SOPModel(AbsESPnetModel):
    """Serialized Output Prompting (arXiv 2509.04488).

    The way of B mixtures with S talker slots, at the sizes of the paper:

        speech                      (B, T) at 16 kHz
        -> encoder                  frames (B, F, 1024) at 50 Hz             `front_end.encode`
        -> downsampler, block 2     frames (B, F / 4, 1024) at 12.5 Hz
        -> Separator                S streams (B, F / 4, 1024)               `front_end.streams`
        -> serialized CTC           S log-probabilities (B, F / 4, V + 1)    `front_end.ctc`
        -> SOP                      B lists of token ids of the LLM          `sop`
        downsampler, block 3        frames (B, F / 8, 1024) at 6.25 Hz       `front_end.encode`
        -> projector                (B, F / 8, width of the LLM)
        -> LLM input                [BOS] [SOP] [speech] [text], (B, L, D)   `llm_input`
        -> loss                     that of the objective                    `objectives.py`

    Args:
        front_end: Encoder, downsampler, Separator and CTC heads.
        projector: Linear, width of the frames to that of the LLM.
        llm: With the adapters `sot` and `sop`.
        tokenizer: The LLM's.
        vocabulary: Of the CTC heads, without blank.
        prompt: Builds the LLM's input.
        objective: Key of `OBJECTIVES`: `align` (stage 0, not in the paper), `sot` (stage 1), `ctc` (stage 2), `sop`
            (stage 3) or `joint` (the paper's single-stage ablation).
        trainable: Modules that this stage trains, of `encoder`, `downsampler`, `separator`, `ctc`, `projector`,
            `sot`, `sop` (these two are adapters) and, where the encoder has an adapter for the heads, `encoder_heads`.
        sop_corruption: Share of prompt tokens spoiled in training (`llm.prompt.corrupt`).
        ctc_weight: Share w of serialized CTC in the loss; when not given 0.3 for `joint`, 0.9 for `align`, 0 for `sot`
            and `sop`. With more than 0, stage 1 trains the Separator and the heads, too.
        all_heads: Every head writes a single talker, not the first alone: for a training on single talkers, in which
            all of them find words in the frames before mixtures teach them whom to follow.
        stream_weight: With more than 0, the Separator's streams of simulated mixtures also learn to be what the model
            makes of each talker alone (`stream_loss`), which is added to the CTC loss times this weight.
        extract_feats_in_collect_stats: Read by ESPnet's trainer; shapes come from the manifest, so it is false.

    Raises:
        UserError: A value is wrong, or values do not fit each other.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        projector: torch.nn.Linear,
        llm: AdaptedCausalLM,
        tokenizer: LLMTokenizer,
        vocabulary: TalkerVocabulary,
        prompt: PromptBuilder,
        objective: str,
        trainable: list[str],
        sop_corruption: float = 0.0,
        ctc_weight: float | None = None,
        all_heads: bool = False,
        stream_weight: float = 0.0,
        extract_feats_in_collect_stats: bool = False,
    ):
        super().__init__()
        share = loss_share(objective, ctc_weight)
        if all_heads and not share:
            raise UserError(f"model_conf.all_heads: objective {objective} has no CTC loss here; leave it out")
        if stream_weight < 0:
            raise UserError(f"model_conf.stream_weight: {stream_weight} is below 0")
        if stream_weight and not (share and "separator" in trainable):
            raise UserError("model_conf.stream_weight: needs a CTC loss and separator in model_conf.trainable")
        if objective == "align" and llm.reads_encoder:
            raise UserError("model_conf.objective: Whisper's decoder has nothing to align; start with sot")
        self.front_end = front_end
        self.projector = projector
        self.llm = llm
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.prompt = prompt
        self.trainable = front_end.trainable = trainable
        self.sop_corruption = sop_corruption
        self.wanted_ctc_weight = ctc_weight
        self.all_heads = all_heads
        self.stream_weight = stream_weight
        self.extract_feats_in_collect_stats = extract_feats_in_collect_stats
        self.embedding_ctc: EmbeddingCTC | None = None
        if objective == "align":
            self.embedding_ctc = EmbeddingCTC(llm.base.get_input_embeddings())
            self.embedding_ctc.start(projector)
        self.use(objective)
        self._choose_trained()
        self.register_state_dict_post_hook(self._leave_out_front_end)
        self.register_load_state_dict_pre_hook(self._add_front_end)

    # ---------------------------------------------------------------- training: speech -> frames -> streams -> loss

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
            frames: (B, F, D) instead of speech: cached output of block `front_end.cached_block`, zero-padded.
            frames_lengths: (B,).
            sop: (B, N, 4) cached output of the CTC heads (`ctc.table`); computed when not given.
            sop_lengths: (B,).
            talkers: (B, T, S) float, 16 kHz, each talker of `speech` alone; for `stream_weight`.
            talkers_lengths: (B,) samples.
            talker_texts: `text_spk1`, `text_spk1_lengths`, ... for all S slots: (B, U_i) CTC ids in start order.

        Returns:
            Loss, statistics for the log, and the batch size as weight, all (1,) so that ESPnet can average them over
            processes.
        """
        # speech (B, T) -> frames (B, F, D) for the LLM and for the Separator
        if frames is None:
            writes_sop = self.sop_source == "ctc" and sop is None
            encoded = self.front_end.encode(
                speech[:, : int(speech_lengths.max())],
                speech_lengths,
                for_llm=self.ctc_weight < 1,
                for_separator=bool(self.ctc_weight) or writes_sop,
            )
        else:
            encoded = self.front_end.from_cache(frames, frames_lengths)
        # frames -> S streams (B, F, D) -> S log-probabilities (B, F, V + 1); without CTC loss the SOP is computed below
        ctc, slot_targets = None, []
        if self.ctc_weight:
            streams, lengths = self.front_end.streams(encoded)
            ctc = CTCOutput(streams, self.front_end.ctc(streams), lengths)
            for slot in (f"text_spk{i}" for i in range(1, self.num_talkers + 1)):
                slot_targets.append((talker_texts[slot].clamp(min=0), talker_texts[f"{slot}_lengths"]))
        cached_slots = None
        if sop is not None:
            cached_slots = [from_table(row[:n], self.num_talkers) for row, n in zip(sop, sop_lengths, strict=True)]
        targets = [row[:n].tolist() for row, n in zip(text, text_lengths, strict=True)]
        # -> SOP -> LLM input -> loss, as the objective wants it: `training_prompts` and `llm_input`
        step = Step(encoded, ctc, targets, slot_targets, cached_slots, talkers)
        losses, stats = OBJECTIVES[self.objective].losses(self, step)
        if len(losses) > 1:
            stats |= {name: loss.detach() for _, name, loss in losses}
        loss = sum(share * part for share, _, part in losses)
        return force_gatherable((loss, {"loss": loss.detach(), **stats}, float(text.size(0))), loss.device)

    # ---------------------------------------------------------------- streams -> SOP

    def training_prompts(self, step: Step) -> tuple[list[list[int]] | None, Stats]:
        """The prompts that the LLM reads in training, and the error of those of the heads.

        Args:
            step: The batch, with output of the heads where it is known already.

        Returns:
            B lists of ids, or None where the LLM reads no prompt; and `sop_error`, wrong tokens over tokens.
        """
        if self.sop_source == "none":
            return None, {}
        stats = {}
        if self.sop_source == "reference":
            sop = self.reference_sop(step.targets)
        else:
            slots = self._slots(step)
            sop = self.sop(slots)
            words = [join([self.llm_ids(slot.tokens) for slot in row], self.tokenizer.sc_id) for row in slots]
            device = step.encoded.llm.values.device
            stats["sop_error"] = token_error(words, [target[:-1] for target in step.targets], device)
        if self.training:
            sop = [corrupt(ids, self.sop_corruption) for ids in sop]
        return sop, stats

    def _slots(self, step: Step) -> list[list[TalkerTokens]]:
        """Greedy CTC output of B mixtures: S slots each."""
        if step.cached_slots:
            return step.cached_slots
        if step.ctc:
            return self.front_end.ctc.greedy(step.ctc.log_probs, step.ctc.lengths)
        return self.front_end.slots(step.encoded)

    def sop(self, slots: list[list[TalkerTokens]]) -> list[list[int]]:
        """Greedy CTC output of B mixtures -> B lists of prompt ids of the LLM. No gradient flows through it."""
        return [self.prompt.sop_ids([self._spell(slot) for slot in row]) for row in slots]

    def reference_sop(self, targets: list[list[int]]) -> list[list[int]]:
        """Serialized target ids -> B lists of prompt ids as if the heads had made no mistake."""
        return [self.prompt.sop_ids(self.tokenizer.split(target)) for target in targets]

    def llm_ids(self, tokens: list[int]) -> list[int]:
        """CTC tokens of one slot -> ids of the LLM's tokenizer."""
        if self.vocabulary is self.tokenizer:
            return tokens
        return self.tokenizer.encode(self.vocabulary.decode(tokens))

    def _spell(self, slot: TalkerTokens) -> list[int]:
        """CTC output of one slot -> its prompt ids, with marks at doubtful words."""
        if not self.prompt.confidence_mark:
            return self.llm_ids(slot.tokens)
        words = slot.words(self.vocabulary.starts_word)
        return [token for word in words for token in self.prompt.marked(self.llm_ids(word.tokens), word.confidence)]

    # ---------------------------------------------------------------- SOP and frames -> LLM input

    def llm_input(
        self, encoded: EncodedSpeech, sop: list[list[int]] | None = None, targets: list[list[int]] | None = None
    ) -> LLMInput:
        """What the LLM reads: `[BOS] [SOP] [speech] [text]`, or the same in a chat.

        Args:
            encoded: Frames for the LLM, (B, F, D).
            sop: Prompt ids of each row; None for no prompt.
            targets: In training the ids that each row shall write.

        Returns:
            Embeddings (B, L, width of the LLM), with mask, positions and labels.
        """
        frames, lengths = encoded.llm
        return self.prompt.build(self.llm, self.projector(frames), lengths, sop, targets)

    # ---------------------------------------------------------------- what is used, and what is trained

    @property
    def num_talkers(self) -> int:
        """Talker slots S."""
        return len(self.front_end.ctc.heads)

    @property
    def ctc_frame_seconds(self) -> float:
        """Time from one frame of the CTC heads to the next."""
        return self.front_end.samples_per_frame / SAMPLE_RATE

    @property
    def sop_source(self) -> str:
        """Where the prompt of the present objective comes from, as in `prompt_conf.sop_source`."""
        return self.prompt.sop_source if "sop" in OBJECTIVES[self.objective].adapters else "none"

    def use(self, objective: str) -> None:
        """Sets what `forward` and decoding do; what is trained does not change."""
        self.objective = objective
        self.ctc_weight = loss_share(objective, None if objective == "ctc" else self.wanted_ctc_weight)
        if adapters := OBJECTIVES[objective].adapters:
            needs = {p: p.requires_grad for p in self.llm.parameters()}
            self.llm.activate(list(adapters))
            for p, flag in needs.items():
                p.requires_grad_(flag)

    def parameters_by_part(self) -> dict[str, list[torch.nn.Parameter]]:
        """What `trainable` may name, and its parameters."""
        adapters = {name: self.llm.adapter_parameters(name) for name in LLM_ADAPTERS}
        return self.front_end.parameters_by_part() | {"projector": list(self.projector.parameters())} | adapters

    def _choose_trained(self) -> None:
        parts = self.parameters_by_part()
        for name in self.trainable:
            if name not in parts:
                raise UserError(f"model_conf.trainable: no module {name!r}; known: {', '.join(sorted(parts))}")
        self.requires_grad_(False)
        for name in self.trainable:
            for p in parts[name]:
                p.requires_grad_(True)

    @override
    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if "projector" not in self.trainable:
            self.projector.eval()
        if not {*LLM_ADAPTERS} & {*self.trainable}:
            self.llm.eval()  # no dropout
        return self

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Not needed: shapes come from the manifest (`espnet2-sop format`)."""
        raise RuntimeError("statistics come from the manifest: use `espnet2-sop format` and `espnet2-sop stats`")

    # ---------------------------------------------------------------- checkpoints: `encoder.`, not `front_end.encoder.`

    @staticmethod
    def _leave_out_front_end(module, state, prefix, metadata):
        long = f"{prefix}{FRONT_END}"
        renamed = {k.replace(long, prefix, 1) if k.startswith(long) else k: v for k, v in state.items()}
        state.clear()
        state.update(renamed)

    @staticmethod
    def _add_front_end(module, state, prefix, *_):
        for name in [k for k in state if k.removeprefix(prefix).partition(".")[0] in FRONT_MODULES]:
            state[f"{prefix}{FRONT_END}{name.removeprefix(prefix)}"] = state.pop(name)
