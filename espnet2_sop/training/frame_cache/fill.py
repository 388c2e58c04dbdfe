"""Computes the caches of a training, once for all mixtures of a set."""

import argparse
import contextlib
from collections.abc import Mapping

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from espnet2_sop.io import provenance
from espnet2_sop.io.errors import UserError
from espnet2_sop.io.locks import locked
from espnet2_sop.io.tensor_store import DONE, CachedTensors, CacheWriter
from espnet2_sop.mixture.batching import sorted_batches
from espnet2_sop.mixture.loader import MixtureWaveforms, open_store
from espnet2_sop.model.build import build_front_end
from espnet2_sop.model.checkpoint import compare_keys, part_of, read_state
from espnet2_sop.model.ctc.table import to_table
from espnet2_sop.model.front_end import FRONT_PARTS, EncodedSpeech, FrontEnd
from espnet2_sop.text.llm_tokenizer import build_tokenizer
from espnet2_sop.text.vocabulary import load_vocabulary
from espnet2_sop.training.frame_cache.plan import Cache, cache_dtype, find_caches


class _Batches(Dataset):
    """Batches of a {id: array} mapping: ids, padded (B, N, ...) and lengths (B,)."""

    def __init__(self, arrays: Mapping[str, np.ndarray], batches: list[list[str]]):
        self.arrays = arrays
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple[list[str], torch.Tensor, torch.Tensor]:
        names = self.batches[number]
        rows = [torch.from_numpy(self.arrays[name]) for name in names]
        return names, torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(r) for r in rows])


def fill(args: argparse.Namespace) -> None:
    """Computes all caches that a training can read; complete ones are kept as they are.

    Args:
        args: Options of `espnet2-sop train`, with `--cache`.

    Raises:
        UserError: There is no GPU where one is asked for, or a checkpoint or a manifest cannot be read.
    """
    front = None
    frames: dict[str, Cache] = {}
    for cache in find_caches(args):
        if isinstance(cache, str):
            print(cache)
            continue
        if cache.kind == "frames":
            frames[cache.mode] = cache
        with locked(cache.folder, "caching", "give another --cache", wait=True):
            if cache.done:
                print(f"{cache.folder}: done already")
                continue
            front = front or load_front(args)
            fill_one(args, front, cache, frames.get(cache.mode))


def load_front(args: argparse.Namespace) -> FrontEnd:
    """Builds the parts before the LLM with the initial weights of a training, in evaluation mode.

    Args:
        args: Options of the training.

    Returns:
        The front end, on the GPU if `ngpu` is not 0.

    Raises:
        UserError: There is no GPU where one is asked for, or a checkpoint does not fit.
    """
    if args.ngpu and not torch.cuda.is_available():
        raise UserError(f"--ngpu {args.ngpu}: torch sees no GPU here; use --ngpu 0")
    front = build_front_end(args, load_vocabulary(args.ctc_vocab, build_tokenizer(args.llm_conf)))
    front.trainable = args.model_conf["trainable"]
    for path in (name.partition(":")[0] for name in args.init_param):
        state = {k: v for k, v in read_state(path).items() if part_of(k) in FRONT_PARTS}
        compare_keys(path, state, front, front.trainable)
        own = front.state_dict()
        front.load_state_dict({k: v for k, v in state.items() if part_of(k) not in front.trainable}
                              | {k: v for k, v in own.items() if part_of(k) in front.trainable})  # fmt: skip
    return front.to("cuda" if args.ngpu else "cpu").eval()


@torch.inference_mode()
def fill_one(args: argparse.Namespace, front: FrontEnd, cache: Cache, frames: Cache | None) -> None:
    """Computes one cache in batches of similar length, with a progress bar; resumes an interrupted one.

    Args:
        args: Options of the training; batches have up to `valid_batch_bins` (or `batch_bins`) samples.
        front: Front end that computes it.
        cache: Cache to write.
        frames: Complete cache of frames that replaces the waveforms as input; None: there is none.
    """
    if provenance.changes(cache.folder, cache.origin) != []:
        provenance.write_origin(cache.folder, cache.origin)
    lengths = dict(sorted(open_store(cache.manifest).lengths().items(), key=lambda item: item[1]))
    dtype = getattr(torch, cache_dtype(args)) if cache.kind == "frames" else torch.float32
    from_frames = cache.kind == "sop" and frames and not front.encoder.heads_adapter
    cached = CachedTensors(frames.folder) if from_frames else None
    device = next(front.parameters()).device
    use_amp = args.use_amp and device.type == "cuda"
    autocast = torch.autocast("cuda", torch.bfloat16) if use_amp else contextlib.nullcontext()
    with CacheWriter(cache.folder, dtype) as writer:
        missing = {name: n for name, n in lengths.items() if name not in writer.done}
        batches = list(sorted_batches(missing, args.valid_batch_bins or args.batch_bins, len(missing)))
        source = MixtureWaveforms(cache.manifest) if cached is None else cached
        loader = DataLoader(_Batches(source, batches), batch_size=None, num_workers=args.num_workers)
        title = f"{cache.kind} {cache.manifest.parent.name}"
        with tqdm(total=len(lengths), initial=len(writer.done), desc=title, unit="mix", mininterval=2) as bar:
            for names, inputs, sizes in loader:
                inputs, sizes = inputs.to(device), sizes.to(device)
                with autocast:
                    encoded = front.encode(inputs, sizes) if cached is None else front.from_cache(inputs, sizes)
                    found = _rows(front, encoded, cache.kind)
                for name, row in zip(names, found, strict=True):
                    writer.add(name, row)
                bar.update(len(names))
    (cache.folder / DONE).touch()
    print(f"{cache.folder}: {cache.kind} of {len(lengths)} mixtures")


def _rows(front: FrontEnd, encoded: EncodedSpeech, kind: str) -> list[torch.Tensor]:
    """What is cached of each mixture of a batch."""
    if kind == "frames":
        frames, sizes = encoded.cacheable
        return [row[:n] for row, n in zip(frames, sizes.tolist(), strict=True)]
    return [to_table(slots) for slots in front.slots(encoded)]
