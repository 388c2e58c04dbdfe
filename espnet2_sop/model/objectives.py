"""What each stage of training learns: the loss of every objective, and the adapters of the LLM that are in use.

The loss of all of them is `(1 - w) L + w (CTC + v D)`: L is the loss of what the LLM reads (`llm_loss` of the
objective), CTC the serialized CTC loss of the heads, w `model_conf.ctc_weight`, D the stream loss and v
`model_conf.stream_weight`. A loss whose share is zero is not computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, override

import torch
from rapidfuzz.distance import Levenshtein

from espnet2_sop.io.errors import UserError, require_choice
from espnet2_sop.model.ctc.serialized import TalkerTokens
from espnet2_sop.model.front_end import EncodedSpeech
from espnet2_sop.model.llm.loss import label_loss
from espnet2_sop.model.stream_loss import stream_loss

if TYPE_CHECKING:
    from espnet2_sop.model.sop_model import SOPModel

type Stats = dict[str, torch.Tensor]


@dataclass(frozen=True)
class CTCOutput:
    """What Separator and heads make of a batch.

    Attributes:
        streams: S tensors (B, F, D).
        log_probs: S tensors (B, F, V + 1).
        lengths: (B,) frames.
    """

    streams: list[torch.Tensor]
    log_probs: list[torch.Tensor]
    lengths: torch.Tensor


@dataclass(frozen=True)
class Step:
    """A batch of B mixtures on its way to the loss.

    Attributes:
        encoded: Frames for the LLM and for the Separator.
        ctc: Output of Separator and heads; None where CTC has no share in the loss.
        targets: B lists of token ids of the serialized text, with end of sequence.
        slot_targets: For each of S slots CTC ids (B, U), padded with anything, and lengths (B,); empty where CTC has no
            share in the loss.
        cached_slots: Greedy output of the heads where it is read from a cache.
        talkers: (B, T, S) float, 16 kHz, each talker alone, for the stream loss.
    """

    encoded: EncodedSpeech
    ctc: CTCOutput | None
    targets: list[list[int]]
    slot_targets: list[tuple[torch.Tensor, torch.Tensor]]
    cached_slots: list[list[TalkerTokens]] | None = None
    talkers: torch.Tensor | None = None


class Objective:
    """What a stage learns.

    Attributes:
        adapters: Adapters of the LLM that are in use.
        ctc_weight: Share w of the serialized CTC where a configuration does not give it.
        loss_name: Of `llm_loss` in the log.
    """

    adapters: tuple[str, ...] = ()
    ctc_weight: float = 0.0
    loss_name: str = "loss_ce"

    def llm_loss(self, model: SOPModel, step: Step) -> tuple[torch.Tensor, Stats]:
        """Loss of what the LLM reads.

        Args:
            model: Computes.
            step: The batch.

        Returns:
            Loss () and statistics for the log.
        """
        raise NotImplementedError

    def losses(self, model: SOPModel, step: Step) -> tuple[list[tuple[float, str, torch.Tensor]], Stats]:
        """The losses that have a share.

        Args:
            model: Computes.
            step: The batch.

        Returns:
            (share, name in the log, loss ()) of each, and statistics for the log.
        """
        losses, stats = [], {}
        if model.ctc_weight < 1:
            loss, stats = self.llm_loss(model, step)
            losses.append((1 - model.ctc_weight, self.loss_name, loss))
        if model.ctc_weight:
            loss, ctc_stats = ctc_loss(model, step)
            losses.append((model.ctc_weight, "loss_ctc", loss))
            stats |= ctc_stats
        if model.ctc_weight and model.stream_weight and step.talkers is not None:
            loss, counted = stream_loss(model.front_end, step.ctc.streams, step.talkers)
            loss = loss * mean_share(counted, len(step.talkers), loss.device)
            losses.append((model.ctc_weight * model.stream_weight, "loss_stream", loss))
        return losses, stats


class Align(Objective):
    """Stage 0 (not in the paper): CTC of projected frames against the LLM's embeddings, beside serialized CTC."""

    ctc_weight = 0.9  # the two gradients are then about equally large
    loss_name = "loss_align"

    @override
    def llm_loss(self, model: SOPModel, step: Step) -> tuple[torch.Tensor, Stats]:
        return alignment_loss(model, step.encoded, step.targets), {}


class SOT(Objective):
    """Stage 1: cross entropy of the serialized text, the LLM reading speech alone."""

    adapters = ("sot",)

    @override
    def llm_loss(self, model: SOPModel, step: Step) -> tuple[torch.Tensor, Stats]:
        return cross_entropy(model, step.encoded, None, step.targets)


class CTC(Objective):
    """Stage 2: serialized CTC alone, slot i against the text of the talker who starts i-th."""

    ctc_weight = 1.0


class SOP(Objective):
    """Stage 3: cross entropy of the serialized text, the LLM reading the serialized output prompt before the speech."""

    adapters = ("sot", "sop")

    @override
    def llm_loss(self, model: SOPModel, step: Step) -> tuple[torch.Tensor, Stats]:
        sop, stats = model.training_prompts(step)
        loss, llm_stats = cross_entropy(model, step.encoded, sop, step.targets)
        return loss, stats | llm_stats


class Joint(SOP):
    """The single-stage ablation: cross entropy as in stage 3, with the prompt of heads that learn serialized CTC in the
    same step. An adapter that is not trained stays zero, so that the model decodes as one of stage 3."""

    ctc_weight = 0.3  # hybrid loss of the paper's public code: 0.7 cross entropy + 0.3 CTC


OBJECTIVES: dict[str, Objective] = {"align": Align(), "sot": SOT(), "ctc": CTC(), "sop": SOP(), "joint": Joint()}


def loss_share(objective: str, ctc_weight: float | None) -> float:
    """Share of the serialized CTC in the loss of an objective.

    Args:
        objective: Key of OBJECTIVES.
        ctc_weight: As in `model_conf.ctc_weight`; None where a configuration does not give it.

    Returns:
        From 0, no CTC, to 1, nothing else.

    Raises:
        UserError: The objective is not known, or the weight does not fit it.
    """
    require_choice("model_conf.objective", objective, OBJECTIVES)
    if ctc_weight is None:
        return OBJECTIVES[objective].ctc_weight
    if objective == "ctc":
        raise UserError("model_conf.ctc_weight: objective ctc has no other loss to weigh against; leave it out")
    if objective == "align" and not ctc_weight:
        raise UserError("model_conf.ctc_weight: objective align trains the heads, too; give more than 0")
    if not 0 <= ctc_weight < 1:
        raise UserError(
            f"model_conf.ctc_weight: {ctc_weight} is not from 0 to below 1; for CTC alone use objective ctc"
        )
    return float(ctc_weight)


def cross_entropy(
    model: SOPModel, encoded: EncodedSpeech, sop: list[list[int]] | None, targets: list[list[int]]
) -> tuple[torch.Tensor, Stats]:
    """Cross entropy of the serialized text, mean over the labels of the batch; logits exist at label positions only.

    Args:
        model: Computes.
        encoded: Frames for the LLM.
        sop: Prompt ids of each row; None for no prompt.
        targets: Ids that each row shall write, with end of sequence.

    Returns:
        Loss (), and `acc`, the share of labels that are the most likely token.
    """
    inputs = model.llm_input(encoded, sop, targets)  # (B, L, D)
    hidden = model.llm.hidden_states(inputs.embeds, inputs.mask, inputs.positions, speech=inputs.speech)
    loss, correct = label_loss(model.llm, hidden[inputs.label_rows, inputs.label_columns], inputs.labels)
    share = mean_share(len(inputs.labels), len(targets), loss.device)
    return loss * share, {"acc": correct * share}


def alignment_loss(model: SOPModel, encoded: EncodedSpeech, targets: list[list[int]]) -> torch.Tensor:
    """CTC of the projected frames against the LLM's embeddings, mean over the single talkers of all processes.

    Args:
        model: Computes.
        encoded: Frames for the LLM.
        targets: Token ids of the serialized text of each row, with end of sequence.

    Returns:
        Loss (); 0 where no row has a single talker.
    """
    frames, lengths = encoded.llm
    words = [model.tokenizer.split(target) for target in targets]
    single = [i for i, talkers in enumerate(words) if len(talkers) == 1]
    share = mean_share(len(single), len(targets), frames.device)
    if not single:
        return model.projector(frames[:0]).sum()
    frames = model.projector(frames[single, : int(lengths[single].max())])
    return model.embedding_ctc.loss(frames, lengths[single], [words[i][0] for i in single]).sum() * share


def ctc_loss(model: SOPModel, step: Step) -> tuple[torch.Tensor, Stats]:
    """Serialized CTC loss, mean over slots and mixtures: slot i against the talker who starts i-th.

    Args:
        model: Computes.
        step: The batch.

    Returns:
        Loss (), and the losses of the slots, the number of targets that are too long for their frames and, in
        evaluation, token error rates.
    """
    ctc, log_probs, lengths = model.front_end.ctc, step.ctc.log_probs, step.ctc.lengths
    targets = for_all_heads(step.slot_targets) if model.all_heads else step.slot_targets
    losses, impossible = ctc.loss(log_probs, lengths, targets)
    stats = {f"loss_spk{i}": loss.mean().detach() for i, loss in enumerate(losses.unbind(1), 1)}
    stats["too_long"] = impossible.float().sum()
    if not model.training:
        greedy = ctc.greedy(log_probs, lengths)
        rates = []
        for i, (ids, n) in enumerate(targets):
            reference = [row[:k].tolist() for row, k in zip(ids, n, strict=True)]
            rates.append(token_error([row[i].tokens for row in greedy], reference, lengths.device))
        stats |= {f"ter_spk{i}": rate for i, rate in enumerate(rates, 1)}
        stats["ter"] = sum(rates) / len(rates)
    return losses.mean(), stats


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


def mean_share(counted: int, mixtures: int, device: torch.device) -> torch.Tensor:
    """Factor from a sum over labels or talkers to their mean; over all processes if there are several.

    ESPnet weighs the losses of the processes by their numbers of mixtures. With this factor the weighted mean is that
    over what was counted in all, so that two processes train as one that has both batches.

    Args:
        counted: Labels or talkers in the sum of this process.
        mixtures: Mixtures in the batch of this process.
        device: Where the sum is.

    Returns:
        () float32.
    """
    total = torch.tensor([float(counted), float(mixtures)], device=device)
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(total)
    return total[1] / (total[0].clamp(min=1) * mixtures)


def token_error(hypotheses: list[list[int]], references: list[list[int]], device: torch.device | str) -> torch.Tensor:
    """Edit distance over reference length, summed over the rows; insertions into empty references count.

    Args:
        hypotheses: Token ids of each row.
        references: Token ids of each row.
        device: Where the result shall be.

    Returns:
        () float32.
    """
    pairs = list(zip(hypotheses, references, strict=True))
    errors = sum(Levenshtein.distance(h, r) for h, r in pairs)
    return torch.tensor(errors / max(sum(len(r) for _, r in pairs), 1), device=device)
