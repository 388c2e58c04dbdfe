"""If these fail, Kaldi data directories are misread, or their mistakes go unnoticed."""

from dataclasses import replace

import kaldiio
import pytest
import soundfile

from espnet2_sop.io.errors import UserError
from espnet2_sop.mixture.audio import AudioReader
from espnet2_sop.mixture.corpora.kaldi import read_kaldi_dir
from espnet2_sop.mixture.corpora.spans import pool_of_spans


@pytest.fixture
def kaldi(an4, tmp_path):
    """A data directory of AN4 with whole files."""
    for name, value in (("wav.scp", "path"), ("text", "text"), ("utt2spk", "speaker")):
        rows = [f"{utt} {getattr(u, value)}\n" for utt, u in sorted(an4.utterances.items())]
        (tmp_path / name).write_text("".join(rows))
    return tmp_path


@pytest.fixture
def segmented(an4, kaldi):
    """The same with two utterances, both in one recording."""
    path = an4.utterances["cen8-fcaw-b"].path
    (kaldi / "wav.scp").write_text(f"rec {path}\n")
    (kaldi / "segments").write_text("a rec 0.5 1.25\nb rec 1.25 2.9\n")
    (kaldi / "text").write_text("a ELEVEN\nb TWENTY SEVEN\n")
    (kaldi / "utt2spk").write_text("a fcaw\nb fcaw\n")
    return kaldi


def test_whole_files(an4, kaldi):
    pool = pool_of_spans(read_kaldi_dir(kaldi))
    assert [u.id for u in pool] == sorted(an4.utterances)
    for u in pool:
        real = an4.utterances[u.id]
        assert (u.path, u.speaker, u.text, u.offset) == (real.path, real.speaker, real.text, None)
        assert u.num_samples == soundfile.info(real.path).frames


def test_segments_are_parts_of_recordings(segmented):
    pool = pool_of_spans(read_kaldi_dir(segmented))
    assert [(u.offset, u.num_samples) for u in pool] == [(8000, 12000), (20000, 26400)]
    samples = AudioReader().read(pool[0].path, 8000, 20000)
    assert 10 ** (pool[0].level_db / 20) == pytest.approx((samples.astype(float) ** 2).mean() ** 0.5, rel=2e-3)


def test_archives_and_commands_are_read_as_files_are(segmented, tmp_path):
    """Parts of a recording that is in an archive, and of one that a command writes."""
    pool = pool_of_spans(read_kaldi_dir(segmented))
    path = pool[0].path
    samples, rate = soundfile.read(path, dtype="int16")
    scp = segmented / "wav.scp"
    kaldiio.save_ark(str(tmp_path / "x.ark"), {"rec": (rate, samples)}, scp=str(scp))
    archived = pool_of_spans(read_kaldi_dir(segmented))
    assert [u.path for u in archived] == [f"{tmp_path}/x.ark:4"] * 2

    scp.write_text(f"rec echo run >>{tmp_path}/log; cat {path} |\n")
    written = pool_of_spans(read_kaldi_dir(segmented, tmp_path / "audio"))
    assert [u.path for u in written] == [f"{tmp_path}/audio/rec.wav"] * 2
    assert (tmp_path / "log").read_text() == "run\n"
    for found in (archived, written):
        assert [replace(u, path=path) for u in found] == pool

    scp.write_text("../rec cat x |\n")
    with pytest.raises(UserError, match="its name cannot be that of a file"):
        read_kaldi_dir(segmented, tmp_path / "audio")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "wav.scp",
            lambda s: s.replace(".sph", ".gone"),
            r"wav.scp: 7 audio file\(s\) are missing: .*an251.*mmxg-b.gone",
        ),
        (
            "wav.scp",
            lambda s: s.replace(".sph\n", ".sph |\n", 1),
            "line 1: an152-mwhw-b is a command .* not run here",
        ),
        ("wav.scp", lambda s: s.replace(".sph\n", ".ark:15\n", 1), r"1 audio file\(s\) are missing: .*mwhw-b.ark:15"),
        ("wav.scp", lambda s: f"x |\n{s}", r"line 1: x needs an audio file or a command `... \|`, got '\|'"),
        ("wav.scp", lambda s: s.partition("\n")[2], r"wav.scp: 1 utterance\(s\) of text are not here: an152-mwhw-b"),
        ("text", lambda s: s.partition("\n")[2], r"text: 1 utterance\(s\) of wav.scp are not here: an152-mwhw-b"),
        ("utt2spk", lambda s: s.partition("\n")[2], r"utt2spk: 1 utterance\(s\) of text are not here"),
        ("utt2spk", lambda s: s.replace(" mwhw", "", 1), r"utt2spk: 1 utterance\(s\) without a speaker: an152"),
        ("text", lambda s: s + s, "line 8: id 'an152-mwhw-b' came before"),
        ("segments", lambda _: "a rec 0 1\n", "segments, line 1: recording 'rec' is not in wav.scp"),
    ],
)
def test_mistakes_are_named(kaldi, name, change, message):
    path = kaldi / name
    path.write_text(change(path.read_text() if path.exists() else ""))
    with pytest.raises(UserError, match=message):
        read_kaldi_dir(kaldi)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a rec 0.5\n", "segments, line 1: expected 'utterance recording start end'"),
        ("a rec 0.5 now\n", "segments, line 1: start and end must be seconds"),
        ("a rec 1.5 1.5\n", "line 1: start 1.5 and end 1.5: needed is"),
        ("a rec -1 1.5\n", "line 1: start -1"),
        ("a rec 0.5 3.2\n", "segments, line 1: a is from 0.5 to 3.2 s, but .*cen8-fcaw-b.sph has only 2.90 s"),
    ],
)
def test_wrong_times_are_named(segmented, line, message):
    (segmented / "segments").write_text(line)
    for name in ("text", "utt2spk"):
        (segmented / name).write_text("a fcaw\n")
    with pytest.raises(UserError, match=message):
        pool_of_spans(read_kaldi_dir(segmented))


def test_rounded_end_is_that_of_the_recording(segmented):
    (segmented / "segments").write_text("a rec 0.5 1.25\nb rec 1.25 2.95\n")
    assert pool_of_spans(read_kaldi_dir(segmented))[1].num_samples == 26400


def test_other_sample_rate_is_refused(an4, kaldi, tmp_path):
    samples, _ = soundfile.read(an4.utterances["an251-fash-b"].path)
    soundfile.write(tmp_path / "slow.wav", samples, 8000)
    for name, value in (("wav.scp", tmp_path / "slow.wav"), ("text", "YES"), ("utt2spk", "fash")):
        (kaldi / name).write_text(f"a {value}\n")
    with pytest.raises(UserError, match="slow.wav: sample rate is 8000 Hz, 16000 Hz is needed"):
        pool_of_spans(read_kaldi_dir(kaldi))
