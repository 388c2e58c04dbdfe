#!/usr/bin/env python3
"""Trains the small stand-in for WavLM on single and mixed speech of the training voices.

WavLM learned from 94k hours, overlapped speech among them, what speech is made of; this encoder has three quarters of
an hour, so it learns from a teacher and from transcripts. For each of three slots, one per talker in order of start, a
linear layer on its last layer shall give what Whisper's encoder says of that talker's clean utterance, and another one
shall spell the words by CTC. Both are thrown away. No dev or test voice is heard.

    python local/make_encoder.py --simulation data/train/simulation.yaml --out pretrained/encoder
"""

import argparse
import dataclasses
import itertools
import time
from pathlib import Path

import numpy as np
import torch
import torchaudio
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import WavLMConfig, WavLMModel, WhisperFeatureExtractor, WhisperModel

from espnet2_sop.encoder.speech import HuggingFaceEncoder, normalize_waveform
from espnet2_sop.mixture.iterator import length_batches
from espnet2_sop.mixture.loader import MixtureTexts, MixtureWaveforms, open_store, shared_reader
from espnet2_sop.text.serialized import split_talkers

LETTERS = "abcdefghijklmnopqrstuvwxyz "
BLANK = len(LETTERS)
SLOTS = 3
FIRST_EPOCH = 1000  # draws that the stages of the recipe do not see
CONFIG = WavLMConfig(
    hidden_size=192,
    num_hidden_layers=6,
    num_attention_heads=4,
    intermediate_size=768,
    conv_dim=(32, 64, 64, 96, 128, 192, 192),
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


def spell(text: str) -> list[int]:
    return [LETTERS.index(c) for c in text.lower()]


class Teacher:
    """What a Whisper encoder says of single utterances: 50 frames a second, every dimension with mean 0 and variance 1.

    Args:
        name: Hugging Face id or folder.
        paths: Audio of all single utterances.
    """

    @torch.no_grad()
    def __init__(self, name: str, paths: list[str]):
        extract, model = (
            WhisperFeatureExtractor.from_pretrained(name),
            WhisperModel.from_pretrained(name).encoder.eval(),
        )
        positions = model.embed_positions.weight.data
        frames = {}
        for path in tqdm(paths, desc="teacher", mininterval=5):
            wave = shared_reader().read(path)
            count = len(wave) // 320
            mel = extract(wave, sampling_rate=16000, return_tensors="pt").input_features[..., : 2 * count]
            hidden = F.gelu(model.conv2(F.gelu(model.conv1(mel)))).transpose(1, 2) + positions[:count]  # not 30 s
            for layer in model.layers:
                hidden = layer(hidden, None)
                hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            frames[path] = model.layer_norm(hidden)[0]
        everything = torch.cat(list(frames.values()))
        mean, std = everything.mean(0), everything.std(0)
        self.size = everything.size(1)
        self.frames = {path: ((f - mean) / std).half() for path, f in frames.items()}

    def of(self, source, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What it says of one source on the frames of a mixture.

        Returns:
            (count, D) and (count,) bool, True while the talker speaks.
        """
        frames = self.frames[source.path]
        time = torch.arange(count) * 320 + 200 - source.start  # middle of each frame
        index = (time * source.speed / 320).floor().long()
        inside = (index >= 0) & (index < len(frames))
        return frames[index.clamp(0, len(frames) - 1)].float() * inside[:, None], inside


class Batches(torch.utils.data.IterableDataset):
    """Endless batches of a simulation: waveforms, lengths, letters, and the sources of each mixture.

    Single talkers come first, in batches of half the size: many small steps are what the start needs.
    """

    def __init__(self, simulation: str, seconds: float, single_epochs: int):
        self.simulation, self.samples, self.single_epochs = simulation, int(16000 * seconds), single_epochs

    def __iter__(self):
        store = open_store(self.simulation)
        waves, texts = MixtureWaveforms(self.simulation), MixtureTexts(self.simulation)
        rule = store.config
        for epoch in itertools.count(FIRST_EPOCH):
            single = epoch < FIRST_EPOCH + self.single_epochs
            store.config = dataclasses.replace(rule, talkers={1: 1.0}, noise_prob=0.2) if single else rule
            store.set_epoch(epoch)
            rng = np.random.default_rng(epoch)
            batches = length_batches(store.lengths(), self.samples // (2 if single else 1), 64, rng)
            rng.shuffle(batches)
            for ids in batches:
                speech = [torch.from_numpy(waves[i]) for i in ids]
                talkers = [split_talkers(texts[i]) for i in ids]
                letters = [[spell(t[s]) if s < len(t) else [] for t in talkers] for s in range(SLOTS)]
                lengths = torch.tensor([len(w) for w in speech])
                sources = [store.mixtures[i].sources for i in ids]
                yield nn.utils.rnn.pad_sequence(speech, batch_first=True), lengths, letters, sources


def learn_spectra(encoder: HuggingFaceEncoder, batches, steps: int) -> None:
    """Warm start of the convolutions: a linear layer on their output shall give the log-mel spectrum of each frame.

    Letters alone teach a stack of random convolutions very slowly.
    """
    mel = torchaudio.transforms.MelSpectrogram(16000, 512, win_length=400, hop_length=320, n_mels=64, center=False)
    head = nn.Linear(CONFIG.conv_dim[-1], 64)
    optimizer = torch.optim.AdamW([*encoder.ssl.feature_extractor.parameters(), *head.parameters()], 2e-3)
    for step, (speech, lengths, *_) in zip(range(1, steps + 1), batches):  # noqa: B905  batches are endless
        speech = normalize_waveform(speech, lengths)
        features = encoder.ssl.feature_extractor(speech).transpose(1, 2)
        # windows of 512 with 400 samples of content in the middle: shift so that frames meet
        target = (mel(F.pad(speech, (56, 56))).transpose(1, 2) + 1e-3).log()[:, : features.size(1)]
        target = (target - target.mean()) / target.std()
        loss = F.mse_loss(head(features[:, : target.size(1)]), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            print(f"spectra step {step} loss {loss.item():.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulation", required=True, help="simulation.yaml of the training data directory")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start_from", type=Path, help="folder of an earlier encoder to train on")
    parser.add_argument("--steps", type=int, default=2200, help="updates; the rate falls to zero by then")
    parser.add_argument("--spectra_steps", type=int, default=75, help="updates of the convolutions before that")
    parser.add_argument("--listen_steps", type=int, default=300, help="updates until CTC has its full weight")
    parser.add_argument("--teacher", default="openai/whisper-tiny.en", help="Hugging Face id or folder of a Whisper")
    parser.add_argument("--batch_seconds", type=float, default=40)
    parser.add_argument("--single_epochs", type=int, default=10, help="epochs of single talkers before mixtures")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=2509)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    start_from = args.start_from or args.out
    if not args.start_from:
        WavLMModel(CONFIG).save_pretrained(args.out)
    encoder = HuggingFaceEncoder(str(start_from))
    encoder.requires_grad_(True)
    encoder._extract = type(encoder)._extract.__wrapped__.__get__(encoder)  # here the convolutions learn, too
    teacher = Teacher(args.teacher, sorted({u.path for u in open_store(args.simulation).pool}))
    spell_heads = nn.ModuleList(nn.Linear(CONFIG.hidden_size, BLANK + 1) for _ in range(SLOTS))
    listen_heads = nn.ModuleList(nn.Linear(CONFIG.hidden_size, teacher.size) for _ in range(SLOTS))
    parameters = [*encoder.parameters(), *spell_heads.parameters(), *listen_heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, args.lr, betas=(0.9, 0.98), weight_decay=0.01)
    loader = torch.utils.data.DataLoader(
        Batches(args.simulation, args.batch_seconds, args.single_epochs), batch_size=None, num_workers=1
    )
    batches = iter(loader)
    if not args.start_from:
        learn_spectra(encoder, batches, args.spectra_steps)
    start, shown = time.time(), []
    for step, (speech, lengths, letters, sources) in enumerate(batches, 1):
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1.0, step / 60, 1.6 * (1 - step / args.steps))
        encoder.train(step > args.listen_steps // 2)  # no dropout, no masking until something is learnt
        frames, frame_lengths = encoder(speech, lengths)
        spelled, heard = [], []
        for slot, rows in enumerate(letters):
            target = torch.tensor([c for row in rows for c in row], dtype=torch.long)
            target_lengths = torch.tensor([len(row) for row in rows])
            log_probs = spell_heads[slot](frames).log_softmax(-1).transpose(0, 1)
            spelled.append(F.ctc_loss(log_probs, target, frame_lengths, target_lengths, BLANK, "sum") / len(speech))
            rows = [(i, s[slot]) for i, s in enumerate(sources) if slot < len(s)]
            if rows:
                said = [teacher.of(source, int(frame_lengths[i])) for i, source in rows]
                own = [listen_heads[slot](frames[i, : frame_lengths[i]]) for i, _ in rows]
                inside = torch.cat([flags for _, flags in said])
                distance = (torch.cat(own) - torch.cat([values for values, _ in said])).square().mean(-1)
                heard.append(distance[inside].mean())
        spelling = min(1.0, step / args.listen_steps) ** 2
        optimizer.zero_grad()
        (spelling * sum(spelled) + 100 * sum(heard)).backward()
        nn.utils.clip_grad_norm_(parameters, 20.0)
        optimizer.step()
        shown.append([float(sum(heard)) / len(heard), *(loss.item() for loss in spelled)])
        if step % 25 == 0:
            mean = np.mean(shown, 0)
            shown = []
            print(f"step {step} {time.time() - start:.0f}s heard {mean[0]:.3f} spelled {mean[1:].round(2)}", flush=True)
        if step % 400 == 0 or step == args.steps:
            encoder.ssl.save_pretrained(args.out)
        if step == args.steps:
            break


if __name__ == "__main__":
    main()
