#!/usr/bin/env python3
"""Trains the small stand-in for WavLM on single and mixed speech of the training voices.

WavLM learned from 94k hours, overlapped speech among them, to tell what a masked or mixed frame belongs to; this
encoder has three quarters of an hour, so its frame labels come from transcripts. Letters are aligned with each single
utterance by CTC over what Whisper's encoder says of it. Then, for each of three slots, one per talker in order of
start, a linear layer tells which half of which word the talker is saying in each 20 ms frame of a mixture, or that
the talker is silent. The linear layers are thrown away. No dev or test voice is heard.

    torchrun --nproc_per_node 2 local/make_encoder.py --simulation data/train/simulation.yaml --out pretrained/encoder
"""

import argparse
import dataclasses
import itertools
import time
from pathlib import Path

import numpy as np
import torch
import torchaudio
from torch import distributed, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMModel

from espnet2_sop.mixture.loader import shared_reader
from espnet2_sop.mixture.render import render
from espnet2_sop.mixture.simulation.rule import Simulation
from espnet2_sop.model.encoder.speech import HuggingFaceEncoder, normalize_waveform
from espnet2_sop.model.encoder.whisper import WhisperEncoder
from espnet2_sop.training.iterator import length_batches

LETTERS = "abcdefghijklmnopqrstuvwxyz "
BLANK = len(LETTERS)
SLOTS = 3
FRAME = 320  # samples
FIRST_EPOCH = 1000  # draws that the stages of the recipe do not see
CONFIG = WavLMConfig(
    hidden_size=192,
    num_hidden_layers=6,
    num_attention_heads=4,
    intermediate_size=768,
    # one filter bank of 25 ms windows every 10 ms, where WavLM has five small convolutions: learns from little data
    conv_dim=(256, 192, 192),
    conv_kernel=(400, 3, 3),
    conv_stride=(160, 1, 2),
    num_feat_extract_layers=3,
    conv_bias=True,
    feat_extract_norm="layer",
    do_stable_layer_norm=True,
    num_conv_pos_embeddings=48,
    num_conv_pos_embedding_groups=8,
    num_buckets=64,
    max_bucket_distance=200,
    hidden_dropout=0.05,
    attention_dropout=0.05,
    activation_dropout=0.05,
    feat_proj_dropout=0.0,
    layerdrop=0.0,
    mask_time_prob=0.05,
    mask_time_length=8,
)


@torch.no_grad()
def teacher_frames(teacher: WhisperEncoder, path: str) -> torch.Tensor:
    """Frames of the teacher's last layer.

    Args:
        teacher: Whisper's encoder.
        path: of an utterance.

    Returns:
        (whole frames of the audio, D), 50 frames a second.
    """
    wave = shared_reader().read(path)
    whole = torch.from_numpy(wave[: len(wave) // FRAME * FRAME])
    return teacher(whole[None], torch.tensor([len(whole)]))[0][0]


def speech_span(path: str) -> tuple[int, int]:
    """First frame and the frame behind the last one that is at most 35 dB below the loudest."""
    wave = shared_reader().read(path)
    power = np.square(wave[: len(wave) // FRAME * FRAME]).reshape(-1, FRAME).mean(1)
    loud = np.flatnonzero(power > power.max() * 10**-3.5)
    return int(loud[0]), int(loud[-1]) + 1


def align(teacher: str, pool, epochs: int = 8) -> dict[str, list[int]]:
    """Frame where each word of each utterance begins, and where the last one ends.

    Args:
        teacher: Hugging Face id or folder of a Whisper.
        pool: single utterances with texts.
        epochs: of the training of the aligner.

    Returns:
        {path: borders}, one more than the utterance has words.
    """
    whisper = WhisperEncoder(teacher).eval()
    frames = {u.path: teacher_frames(whisper, u.path) for u in tqdm(pool, desc="teacher", mininterval=5)}
    everything = torch.cat(list(frames.values()))
    mean, std = everything.mean(0), everything.std(0)
    frames = {path: (f - mean) / std for path, f in frames.items()}
    spelled = {u.path: torch.tensor([LETTERS.index(c) for c in u.text.lower()]) for u in pool}
    size = everything.size(1)
    model = nn.Sequential(nn.Linear(size, 384), nn.GELU(), nn.Linear(384, BLANK + 1))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for epoch in range(epochs):
        losses = []
        order = np.random.default_rng(epoch).permutation(sorted(frames))
        for paths in np.array_split(order, max(1, len(order) // 16)):
            batch = nn.utils.rnn.pad_sequence([frames[p] for p in paths], batch_first=True)
            log_probs = model(batch).transpose(0, 1).log_softmax(-1)
            sizes = [torch.tensor([len(of[p]) for p in paths]) for of in (frames, spelled)]
            loss = F.ctc_loss(log_probs, torch.cat([spelled[p] for p in paths]), *sizes, BLANK, "sum") / len(paths)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"aligner epoch {epoch + 1} loss {np.mean(losses):.2f}", flush=True)
    borders = {}
    for path, target in spelled.items():
        with torch.no_grad():
            log_probs = model(frames[path][None]).log_softmax(-1)
        labels = torchaudio.functional.forced_align(log_probs, target[None].int(), blank=BLANK)[0][0]
        spikes = torch.unique_consecutive(labels, return_inverse=True)[1]
        start, end = speech_span(path)
        gaps = [int((spikes == s).nonzero().float().mean()) for s in spikes[labels == LETTERS.index(" ")].unique()]
        borders[path] = [min(start, *gaps), *gaps, max(end, *gaps)]
    return borders


class Labels:
    """Which half of which word each talker says in each frame of a mixture; class 0: silent.

    Args:
        pool: Single utterances.
        borders: See `align`.
    """

    def __init__(self, pool, borders: dict[str, list[int]]):
        words = sorted({w for u in pool for w in u.text.lower().split()})
        self.classes = 2 * len(words) + 1
        self.frames = {}
        for u in pool:
            labels = np.zeros(borders[u.path][-1] + 1, int)
            for word, start, end in zip(u.text.lower().split(), borders[u.path], borders[u.path][1:], strict=False):
                labels[start:end] = 2 * words.index(word) + 1
                labels[(start + end) // 2 : end] += 1
            self.frames[u.path] = labels  # the last one is silent

    def of(self, source, count: int) -> np.ndarray:
        """Classes of one source of a mixture.

        Args:
            source: with path, start (samples) and speed.
            count: frames of the mixture.

        Returns:
            (count,) int.
        """
        labels = self.frames[source.path]
        time = np.arange(count) * FRAME + FRAME // 2 - source.start
        index = np.floor(time * source.speed / FRAME).astype(int)
        return np.where(index < 0, 0, labels[index.clip(0, len(labels) - 1)])


def batches(simulation: str, seconds: float, single_epochs: int, labels: Labels, rank: int):
    """Endless batches of a simulation, single talkers first.

    Args:
        simulation: path of the rule.
        seconds: audio of a batch with its padding.
        single_epochs: epochs of single talkers.
        labels: classes of the sources.
        rank: number of this process, which has mixtures of its own.

    Yields:
        speech (B, T), lengths (B,), classes (B, F, SLOTS), -1 behind the end.
    """
    rule = Simulation.read(simulation)
    # the single talkers that MixtureStore.set_epoch draws have all of the rule's noise; here words come before noise
    single = dataclasses.replace(rule, config=dataclasses.replace(rule.config, talkers={1: 1.0}, noise_prob=0.2))
    for number in itertools.count():
        epoch = FIRST_EPOCH + 100 * number + rank
        mixtures = {m.id: m for m in (single if number < single_epochs else rule).draw(epoch)}
        rng = np.random.default_rng(epoch)
        lengths = {i: m.num_samples for i, m in mixtures.items()}
        texts = {i: len(m.text) for i, m in mixtures.items()}
        cut = length_batches(lengths, texts, int(16000 * seconds), 64, rng)
        rng.shuffle(cut)
        for ids in cut:
            speech = [torch.from_numpy(render(mixtures[i], shared_reader())) for i in ids]
            lengths = torch.tensor([len(w) for w in speech])
            frames = (lengths - 80) // FRAME  # as many as the convolutions leave, or a few more
            classes = torch.full((len(ids), int(frames.max()), SLOTS), -1)
            for row, i in enumerate(ids):
                classes[row, : frames[row]] = 0
                for slot, source in enumerate(mixtures[i].sources):
                    classes[row, : frames[row], slot] = torch.from_numpy(labels.of(source, int(frames[row])))
            yield nn.utils.rnn.pad_sequence(speech, batch_first=True), lengths, classes


def start_filters(encoder: HuggingFaceEncoder) -> None:
    """Windowed cosines and sines of both signs on a mel scale as first filters."""
    conv = encoder.ssl.feature_extractor.conv_layers[0].conv
    bands = conv.out_channels // 4
    mel = np.linspace(2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + 7800 / 700), bands)
    angle = 2 * np.pi / 16000 * np.outer(700 * (10 ** (mel / 2595) - 1), np.arange(400) - 199.5)
    waves = np.concatenate([np.cos(angle), -np.cos(angle), np.sin(angle), -np.sin(angle)]) * np.hanning(400) / 10
    conv.weight.data = torch.from_numpy(waves[:, None]).float()


def learn_spectra(encoder: HuggingFaceEncoder, batches, steps: int) -> None:
    """Warm start of the convolutions: from their output, a linear layer predicts the log-mel spectrum of each frame.

    Args:
        encoder: whose convolutions are trained.
        batches: see `batches`.
        steps: updates.
    """
    mel = torchaudio.transforms.MelSpectrogram(16000, 512, win_length=400, hop_length=FRAME, n_mels=64, center=False)
    head = nn.Linear(CONFIG.conv_dim[-1], 64)
    optimizer = torch.optim.AdamW([*encoder.ssl.feature_extractor.parameters(), *head.parameters()], 1e-3)
    for step, (speech, lengths, _) in zip(range(1, steps + 1), batches):  # noqa: B905  batches are endless
        speech = normalize_waveform(speech, lengths)
        features = encoder.ssl.feature_extractor(speech).transpose(1, 2)
        # middle of a frame: 200 + 160 samples after its start by the two convolutions of width 3
        target = (mel(F.pad(speech[:, 360 - 256 :], (0, 512))).transpose(1, 2) + 1e-3).log()[:, : features.size(1)]
        target = (target - target.mean()) / target.std()
        loss = F.mse_loss(head(features[:, : target.size(1)]), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.ssl.feature_extractor.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            print(f"spectra step {step} loss {loss.item():.3f}", flush=True)


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Makes the gradients of all processes their mean."""
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]  # nothing may have been masked
    flat = torch.cat([grad.flatten() for grad in grads])
    distributed.all_reduce(flat)
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad = part.view_as(p) / distributed.get_world_size()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulation", required=True, help="simulation.yaml of the training data directory")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000, help="updates; the rate falls to zero by then")
    parser.add_argument("--spectra_steps", type=int, default=300, help="updates of the convolutions before that")
    parser.add_argument("--teacher", default="openai/whisper-tiny.en", help="Hugging Face id or folder of a Whisper")
    parser.add_argument("--batch_seconds", type=float, default=20, help="of each process")
    parser.add_argument("--single_epochs", type=int, default=10, help="epochs of single talkers before mixtures")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=2509)
    args = parser.parse_args()

    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    torch.manual_seed(args.seed)
    pool = Simulation.read(args.simulation).pool
    borders = [align(args.teacher, pool) if rank == 0 else None]
    distributed.broadcast_object_list(borders)
    labels = Labels(pool, borders[0])
    torch.manual_seed(args.seed)
    if rank == 0:
        WavLMModel(CONFIG).save_pretrained(args.out)
        Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(args.out)
    distributed.barrier()
    encoder = HuggingFaceEncoder(str(args.out))
    start_filters(encoder)
    encoder.requires_grad_(True)
    encoder._extract = type(encoder)._extract.__wrapped__.__get__(encoder)  # here the convolutions learn, too
    head = nn.Linear(CONFIG.hidden_size, SLOTS * labels.classes)
    parameters = [*encoder.parameters(), *head.parameters()]
    data = batches(args.simulation, args.batch_seconds, args.single_epochs, labels, rank)
    learn_spectra(encoder, batches(args.simulation, args.batch_seconds, 1, labels, 0), args.spectra_steps)
    optimizer = torch.optim.AdamW(parameters, args.lr, betas=(0.9, 0.98), weight_decay=0.01)
    torch.manual_seed(args.seed + rank)
    start, shown = time.time(), []
    for step, (speech, lengths, classes) in enumerate(data, 1):
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1.0, step / 100, 1.4 * (1 - step / args.steps))
        encoder.train(step > 200)  # no dropout, no masking until something is learnt
        frames, _ = encoder(speech, lengths)
        classes = classes[:, : frames.size(1)]
        scores = head(frames[:, : classes.size(1)]).view(*classes.shape, labels.classes)
        nats = F.cross_entropy(scores.flatten(0, 2), classes.flatten(), ignore_index=-1, reduction="none")
        nats = nats.view_as(classes)
        spoken = (classes > 0).float()
        silent = (classes == 0).float()
        loss = (nats * (spoken + 0.3 * silent)).sum() / (spoken.sum() + 1)
        optimizer.zero_grad()
        loss.backward()
        average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        right = (scores.argmax(-1) == classes).float()
        shown.append([loss.item(), *((right * spoken).sum((0, 1)) / (spoken.sum((0, 1)) + 1e-9)).tolist()])
        if step % 25 == 0 and rank == 0:
            mean = np.mean(shown, 0)
            shown = []
            print(f"step {step} {time.time() - start:.0f}s loss {mean[0]:.3f} right {mean[1:].round(3)}", flush=True)
        if (step % 400 == 0 or step == args.steps) and rank == 0:
            encoder.ssl.save_pretrained(args.out)
        if step == args.steps:
            break


if __name__ == "__main__":
    main()
