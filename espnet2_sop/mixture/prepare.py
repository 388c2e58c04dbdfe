"""The modes of `espnet2-sop prepare`: each takes the options, writes a folder and returns a summary."""

import argparse
import dataclasses
import functools
from pathlib import Path

from tqdm import tqdm

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write, open_text, read_kaldi
from espnet2_sop.mixture.audio import AudioReader, write_flac
from espnet2_sop.mixture.corpora.kaldi import read_kaldi_dir
from espnet2_sop.mixture.corpora.lhotse import read_lhotse
from espnet2_sop.mixture.corpora.librimix import CONDITIONS, at_speeds, read_librimix, with_prefix
from espnet2_sop.mixture.corpora.librispeechmix import read_librispeechmix
from espnet2_sop.mixture.corpora.offsets import draw_offsets
from espnet2_sop.mixture.corpora.regions import RegionConfig, cut_regions
from espnet2_sop.mixture.corpora.spans import Span, pool_of_spans, style_texts
from espnet2_sop.mixture.corpora.stm import read_stm
from espnet2_sop.mixture.corpora.stored import store_mixtures
from espnet2_sop.mixture.datadir import write_data_dir
from espnet2_sop.mixture.manifest import Mixture
from espnet2_sop.mixture.parallel import run
from espnet2_sop.mixture.simulation.noise import synthesize
from espnet2_sop.mixture.simulation.pool import Utterance, build_noise_pool, build_pool
from espnet2_sop.mixture.simulation.room import build_room_pool, simulate_rooms
from espnet2_sop.mixture.simulation.rule import Simulation, draw_fixed, read_config
from espnet2_sop.mixture.simulation.turns import Turn, draw_turns, join, joined_utterance
from espnet2_sop.mixture.simulation.voices import Kokoro, Piper, assign


def librimix(args: argparse.Namespace) -> str:
    """Writes a data directory of fixed mixtures."""
    mixtures = at_speeds(
        read_librimix(
            args.csv,
            args.speech_root,
            args.noise_root,
            args.condition,
            args.mix_mode,
            noise_augmented=args.noise_augmented,
            missing_list=args.out / "missing.txt",
            length_cache=args.out.parent / ".num_samples.tsv",
            nj=args.nj,
        ),
        args.speed_perturb,
    )
    if args.store_mixtures:
        mixtures = store_mixtures(mixtures, args.store_mixtures / args.out.name, args.nj)
    return write_fixed(mixtures, args.out, args.condition)


def offsets(args: argparse.Namespace) -> str:
    """Writes metadata with start offsets."""
    if len({csv.name for csv in args.csv}) < len(args.csv):
        raise UserError(f"{args.out}: two of the CSVs have the same name; give each its own --out")
    if inside := [csv for csv in args.csv if csv.parent.resolve() == args.out.resolve()]:
        raise UserError(f"{args.out}: the folder of {inside[0]} itself; give another --out")
    count = sum(draw_offsets(csv, args.out / csv.name, args.seed) for csv in args.csv)
    return f"offsets of {count} mixtures"


def write_fixed(mixtures: list[Mixture], folder: Path, condition: str) -> str:
    """Writes a data directory of fixed mixtures.

    Args:
        mixtures: Mixtures to write.
        folder: Data directory.
        condition: "clean", "noisy" or "both".

    Returns:
        Number of mixtures and hours, in words.
    """
    counts = {mixture.num_talkers for mixture in mixtures}
    write_data_dir(mixtures, folder, condition, counts.pop() if len(counts) == 1 else None)
    return f"{len(mixtures)} mixtures, {sum(mixture.duration for mixture in mixtures) / 3600:.2f} hours"


def librispeechmix(args: argparse.Namespace) -> str:
    """Writes a data directory of the mixtures of one or more LibriSpeechMix lists."""
    mixtures = [mixture for path in args.list for mixture in read_librispeechmix(path, args.speech_root)]
    return write_fixed(mixtures, args.out, "clean")


def utterances(args: argparse.Namespace) -> list[Utterance]:
    """The single utterances that the options name, sorted by id, with texts in the requested style."""
    given = [name for name in ("speech_root", "kaldi", "lhotse") if getattr(args, name)]
    if len(given) != 1 or bool(args.speech_root) != bool(args.subset):
        raise UserError("give one of --speech_root (with --subset), --kaldi and --lhotse")
    if not args.speech_root:
        return pool_of_spans(style_texts(spans(args), args.text_style))
    pool: dict[str, Utterance] = {}
    for utterance in (u for subset in args.subset for u in build_pool(args.speech_root, subset)):
        if utterance.id in pool:
            raise UserError(f"{utterance.path}: the same utterance as {pool[utterance.id].path}; remove one")
        pool[utterance.id] = utterance
    texts = [Span(u.id, u.path, u.speaker, u.text, None, None, u.path) for u in pool.values()]
    kept = {span.id: span.text for span in style_texts(texts, args.text_style)}
    return [dataclasses.replace(pool[name], text=kept[name]) for name in sorted(kept)]


def spans(args: argparse.Namespace) -> list[Span]:
    """Utterances of the Kaldi directories or the lhotse manifests."""
    if args.kaldi:
        folders = enumerate(args.kaldi, 1)
        return [span for n, folder in folders for span in read_kaldi_dir(folder, args.out / f"recordings_{n}")]
    return read_lhotse(*args.lhotse)


def rule_and_pools(args: argparse.Namespace, noisy: bool) -> Simulation:
    """Reads the rule of a simulation and the pools that it draws from.

    Args:
        args: Options of the command.
        noisy: Whether noises are needed.

    Returns:
        The simulation.

    Raises:
        UserError: Noises or rooms are needed and their folder is not given.
    """
    config = read_config(args.config)
    if noisy and args.noise_root is None:
        raise UserError(f"{args.config}: there shall be noise (noise_prob, --condition), so --noise_root is needed")
    if config.room_prob > 0 and args.room_root is None:
        raise UserError(f"{args.config}: room_prob is above 0, so --room_root is needed")
    noises = build_noise_pool(args.noise_root) if args.noise_root else []
    rooms = build_room_pool(args.room_root) if config.room_prob > 0 else []
    return Simulation(config, utterances(args), noises, rooms)


def simulation(args: argparse.Namespace) -> str:
    """Writes the pools and the rule of a simulation; utterances joined to turns are written as FLAC files."""
    made = rule_and_pools(args, read_config(args.config).noise_prob > 0)
    if args.turns:
        turns = list(draw_turns(made.pool, args.turns, made.config.seed))
        write = functools.partial(write_turn, folder=args.out / "turns")
        made = dataclasses.replace(made, pool=list(run(write, turns, 1, "turns")))
    made.draw(1)
    made.write(args.config, args.out)
    return made.summary


def write_turn(turn: Turn, folder: Path) -> Utterance:
    """Makes one utterance of a turn.

    Args:
        turn: Utterances of one speaker with pauses.
        folder: Folder of the FLAC file; a turn of one utterance needs none.

    Returns:
        The utterance.
    """
    if len(turn.utterances) == 1:
        return turn.utterances[0]
    path, samples = folder / f"{turn.utterances[0].id}.flac", join(turn, AudioReader())
    write_flac(path, samples)
    return joined_utterance(turn, path, samples)


def fixed(args: argparse.Namespace) -> str:
    """Writes a data directory of mixtures that are drawn once."""
    conditions = CONDITIONS if args.condition == "both" else (args.condition,)
    made = rule_and_pools(args, "noisy" in conditions)
    most = max(args.talkers)
    if len(made.config.onsets) < most - 1:
        raise UserError(f"{args.config}: 'onsets': {most} talkers need {most - 1} ranges")
    mixtures = []
    for talkers in args.talkers:
        for condition in conditions:
            behind = made.noises if condition == "noisy" else []
            drawn = draw_fixed(made.config, made.pool, behind, talkers, args.number, made.rooms)
            mixtures += with_prefix(drawn, condition)
    return write_fixed(mixtures, args.out, args.condition)


def epochs(args: argparse.Namespace) -> str:
    """Writes a data directory of the mixtures that a simulation draws in the given epochs."""
    made = Simulation.read(args.simulation)
    mixtures = [
        dataclasses.replace(mixture, id=f"epoch{epoch}-{mixture.id}")
        for epoch in dict.fromkeys(args.epochs)
        for mixture in made.draw(epoch)
    ]
    condition = {0.0: "clean", 1.0: "noisy"}.get(made.config.noise_prob, "both")
    return write_fixed(mixtures, args.out, condition)


def segments(args: argparse.Namespace) -> str:
    """Writes a data directory of the regions of real conversations."""
    given = [name for name in ("stm", "kaldi", "lhotse") if getattr(args, name)]
    if len(given) != 1 or bool(args.stm) != bool(args.audio):
        raise UserError("give one of --stm (with --audio), --kaldi and --lhotse")
    read = style_texts(read_stm(args.stm, args.audio) if args.stm else spans(args), args.text_style)
    mixtures, dropped = cut_regions(read, RegionConfig(args.max_pause, args.max_duration, args.max_talkers))
    if not mixtures:
        raise UserError(f"{read[0].where}: no region of the recordings is left; raise --max_duration or --max_talkers")
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
    return write_fixed(mixtures, args.out, "noisy") + (f"; regions left out: {reasons}" if reasons else "")


def noise(args: argparse.Namespace) -> str:
    """Writes synthetic noises as FLAC files."""
    voices = [Path(path) for path in dict.fromkeys(utterance.path for utterance in utterances(args))]
    for name, samples in synthesize([args.seed], args.number, args.seconds, voices):
        write_flac(args.out / f"{name}.flac", samples)
    return f"{args.number} noises of {args.seconds:g} s"


def rooms(args: argparse.Namespace) -> str:
    """Writes the responses of simulated rooms as FLAC files, one sub-folder per room."""
    for number, responses in enumerate(simulate_rooms(args.seed, args.number, args.positions)):
        for position, response in enumerate(responses):
            write_flac(args.out / f"room{number:04d}" / f"{position}.flac", response)
    return f"{args.number} rooms with {args.positions} positions each"


def voices(args: argparse.Namespace) -> str:
    """Writes texts spoken by synthetic voices as a LibriSpeech-like folder; existing files are kept."""
    if args.texts and (args.speech_root or args.kaldi or args.lhotse):
        raise UserError("--texts: its sentences are said, so give none of --speech_root, --kaldi and --lhotse with it")
    said = read_sentences(args.texts, args.text_style) if args.texts else utterances(args)
    engine = Kokoro(args.model, args.voices) if args.voices else Piper(args.model)
    texts, speakers = sorted({item.text for item in said}), engine.speakers(args.speakers, args.seed)
    spoken = assign(texts, speakers, args.number, args.seed)
    chapter = str(args.seed)
    tables = {args.out / voice / chapter / f"{voice}-{chapter}.trans.txt": texts for voice, texts in spoken.items()}
    for path in [*args.out.glob("*/*/*.trans.txt"), *tables]:
        write_texts(tables.get(path, {}), path)
    jobs = [(voice, name, text) for voice, said in spoken.items() for name, text in said.items()]
    for voice, name, text in tqdm(jobs, desc="voices", unit="utterance", mininterval=1.0):
        path = args.out / voice / chapter / f"{name}.flac"
        if not path.exists():
            write_flac(path, engine.speak(text, voice))
    return f"{len(jobs)} utterances of {len(spoken)} voices"


def read_sentences(path: Path, style: str) -> list[Span]:
    """Reads sentences, one per line; empty lines are skipped.

    Args:
        path: Text file.
        style: One of TEXT_STYLES.

    Returns:
        Spans with texts and without audio.

    Raises:
        UserError: The file cannot be read, or its texts do not fit the style.
    """
    with open_text(path) as f:
        lines = [Span("", "", "", line, None, None, f"{path}, line {number}") for number, line in enumerate(f, 1)]
    return style_texts([span for span in lines if span.text.strip()], style)


def write_texts(texts: dict[str, str], path: Path) -> None:
    """Writes `*.trans.txt` before its audio, and removes audio files whose text has changed.

    Args:
        texts: {utterance: text}.
        path: The `*.trans.txt` file.
    """
    for name, text in (read_kaldi(path) if path.exists() else {}).items():
        if texts.get(name) != text:
            path.with_name(f"{name}.flac").unlink(missing_ok=True)
    with atomic_write(path) as f:
        f.writelines(f"{name} {text}\n" for name, text in texts.items())


MODES = {
    work.__name__: work
    for work in (librimix, offsets, librispeechmix, simulation, fixed, epochs, segments, noise, rooms, voices)
}
