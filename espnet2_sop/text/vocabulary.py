"""Vocabularies of the serialized CTC heads: the LLM's own tokens, or SentencePiece."""

import json
import os
from pathlib import Path
from typing import Any, Protocol

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import atomic_write
from espnet2_sop.io.json_shapes import read_json
from espnet2_sop.text.serialized import SC

KINDS = ("llm", "sentencepiece")


class TalkerVocabulary(Protocol):
    """Words of one talker <-> ids 0 .. vocab_size - 1."""

    vocab_size: int

    def encode(self, words: str) -> list[int]:
        """Words of one talker to ids, without blank."""

    def decode(self, ids: list[int]) -> str:
        """Ids of one talker to words, one space between them."""

    def pieces(self, ids: list[int]) -> list[str]:
        """The spelling of each id."""

    def starts_word(self, token: int) -> bool:
        """Whether a token begins a word."""


class SentencePieceVocabulary:
    """A SentencePiece model trained on the training transcripts.

    Args:
        model: Path of `spm.model`.

    Raises:
        UserError: It is missing or broken.
    """

    def __init__(self, model: str | Path):
        import sentencepiece

        try:
            self.spm = sentencepiece.SentencePieceProcessor(model_file=str(model))
        except (OSError, RuntimeError) as error:
            reason = str(error).splitlines()[-1]
            raise UserError(f"{model}: cannot be read ({reason}); make it again (espnet2-sop vocab)") from None
        self.vocab_size = self.spm.get_piece_size()

    def encode(self, words: str) -> list[int]:
        """Words of one talker to ids."""
        return self.spm.encode(words)

    def decode(self, ids: list[int]) -> str:
        """Ids of one talker to words."""
        return self.spm.decode(ids)

    def pieces(self, ids: list[int]) -> list[str]:
        """The spelling of each id."""
        return self.spm.id_to_piece(ids)

    def starts_word(self, token: int) -> bool:
        """Whether a token begins a word."""
        return self.spm.id_to_piece(token).startswith("\u2581")

    @staticmethod
    def train(texts: list[str], size: int, folder: Path) -> None:
        """Trains a unigram model.

        Args:
            texts: Transcripts, one talker each.
            size: Most pieces.
            folder: Folder of `spm.model`, which is written.

        Raises:
            UserError: SentencePiece cannot make a model of this size.
        """
        import sentencepiece

        part = folder / "spm.part"
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_prefix=str(part),
                vocab_size=size,
                hard_vocab_limit=False,
                character_coverage=1.0,
                bos_id=-1,
                eos_id=-1,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise UserError(f"--size {size}: SentencePiece cannot make it ({str(error).splitlines()[-1]})") from None
        os.replace(f"{part}.model", folder / "spm.model")
        Path(f"{part}.vocab").unlink()


def character_tokens(texts: list[str]) -> list[str]:
    """Token list for ESPnet: its special symbols, `<sc>`, and the characters of the texts in order of code point."""
    characters = sorted(set().union(*texts) - {" "})
    return ["<blank>", "<unk>", SC, "<space>", *characters, "<sos/eos>"]


def save_vocabulary(folder: str | Path, kind: str, pieces: list[str]) -> None:
    """Writes `tokens.txt` (one token per line, for people and for ESPnet) and, last, `vocabulary.json`.

    Args:
        folder: Folder to write to.
        kind: One of KINDS.
        pieces: Tokens in order of id.
    """
    folder = Path(folder)
    with atomic_write(folder / "tokens.txt") as f:
        f.writelines(str(piece).replace("\n", "\\n") + "\n" for piece in pieces)
    with atomic_write(folder / "vocabulary.json") as f:
        json.dump({"kind": kind, "size": len(pieces)}, f)


def read_vocabulary_info(folder: str | Path) -> dict[str, Any]:
    """Reads `vocabulary.json`: {"kind": name, "size": tokens}."""
    path = Path(folder) / "vocabulary.json"
    advice = "make it again (espnet2-sop vocab)"
    info = read_json(path, {"kind": str, "size": int}, advice)
    if info["kind"] not in KINDS:
        raise UserError(f"{path}: kind {info['kind']!r} is not one of {', '.join(KINDS)}; {advice}")
    return info


def load_vocabulary(folder: str | Path, llm_tokenizer) -> TalkerVocabulary:
    """Opens a vocabulary made by `espnet2-sop vocab`.

    Args:
        folder: Folder with vocabulary.json and, for SentencePiece, spm.model.
        llm_tokenizer: The model's LLMTokenizer, which is itself the vocabulary of kind `llm`.

    Returns:
        The vocabulary of the CTC heads.

    Raises:
        UserError: The folder holds no vocabulary, or one of another LLM.
    """
    info = read_vocabulary_info(folder)
    if info["kind"] == "sentencepiece":
        return SentencePieceVocabulary(Path(folder) / "spm.model")
    if info["size"] != llm_tokenizer.vocab_size:
        raise UserError(
            f"ctc_vocab: {folder} has {info['size']} tokens, the LLM {llm_tokenizer.vocab_size}; "
            "it was made for another LLM, make it again (espnet2-sop vocab)"
        )
    return llm_tokenizer
