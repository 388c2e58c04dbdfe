"""The LLM's tokenizer for serialized multi-talker text."""

from transformers import AutoTokenizer

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.pretrained import load_pretrained
from espnet2_sop.text.serialized import SC, split_talkers

OPTION = "llm_conf.pretrained"
WORD_STARTS = ("\u0120", "\u2581")  # how byte-level BPE and SentencePiece write a space


class LLMTokenizer:
    """Words to the ids of an LLM's tokenizer and back.

    The words of every talker are tokenized with a space before them, so a word has the same ids in the prompt, in the
    target and for every talker.

    Args:
        pretrained: Hugging Face id or folder.
        revision: Git revision of the hub repository.
        speaker_change: An existing special token that is used as `<sc>`.

    Raises:
        UserError: The tokenizer cannot be loaded, or lacks this token or an end of sequence.
    """

    def __init__(self, pretrained: str, revision: str = "main", speaker_change: str = "<|reserved_special_token_0|>"):
        self.hf = load_pretrained(AutoTokenizer.from_pretrained, pretrained, OPTION, revision=revision)
        self.sc_id = self.hf.convert_tokens_to_ids(speaker_change)
        if self.sc_id is None or self.sc_id == self.hf.unk_token_id:
            raise UserError(f"llm_conf.speaker_change: {pretrained} has no token {speaker_change!r}; name one it has")
        if self.hf.eos_token_id is None:
            raise UserError(f"{OPTION}: the tokenizer of {pretrained} has no end-of-sequence token")
        self.eos_id = self.hf.eos_token_id
        self.vocab_size = len(self.hf)

    def encode(self, words: str) -> list[int]:
        """Words of one talker to ids without special tokens."""
        return self.hf.encode(f" {words.strip()}", add_special_tokens=False) if words.strip() else []

    def decode(self, ids: list[int]) -> str:
        """Ids of one talker to words on one line, one space between them; special tokens are dropped."""
        return " ".join(self.hf.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False).split())

    def pieces(self, ids: list[int]) -> list[str]:
        """The tokens as they are spelled in the vocabulary, with its mark at the start of a word."""
        return self.hf.convert_ids_to_tokens(ids)

    def encode_serialized(self, text: str) -> list[int]:
        """Serialized text `a b <sc> c` to ids: those of a b, `<sc>`, those of c, end of sequence."""
        talkers = [self.encode(words) for words in split_talkers(text)]
        return join(talkers, self.sc_id) + [self.eos_id]

    def split(self, ids: list[int]) -> list[list[int]]:
        """The inverse of `join` and of encode_serialized: ids of each talker, up to the first end of sequence."""
        talkers: list[list[int]] = [[]]
        for token in ids:
            if token == self.eos_id:
                break
            if token == self.sc_id:
                talkers.append([])
            else:
                talkers[-1].append(token)
        return talkers

    def decode_serialized(self, ids: list[int]) -> str:
        """Ids of serialized text to text; talkers without words are left out."""
        texts = [self.decode(tokens) for tokens in self.split(ids)]
        return f" {SC} ".join(text for text in texts if text)

    def starts_word(self, token: int) -> bool:
        """Whether a token begins a word (byte-level BPE and SentencePiece mark the space before it)."""
        return self.hf.convert_ids_to_tokens(token).startswith(WORD_STARTS)


def build_tokenizer(llm_conf: dict) -> LLMTokenizer:
    """Loads the tokenizer that a configuration names.

    Args:
        llm_conf: `tokenizer` (a folder) is taken if it is there, otherwise `pretrained`; also `revision` and
            `speaker_change`. Other keys are ignored.

    Returns:
        The tokenizer.

    Raises:
        UserError: `pretrained` is missing, a value is not text, or the tokenizer cannot be loaded.
    """
    if not llm_conf.get("pretrained"):
        raise UserError(f"{OPTION} is missing: give the Hugging Face id or folder of a causal LM")
    for key in ("pretrained", "tokenizer", "revision", "speaker_change"):
        if not isinstance(llm_conf.get(key, ""), str):
            raise UserError(f"llm_conf.{key}: {llm_conf[key]!r} is no text")
    name = llm_conf.get("tokenizer") or llm_conf["pretrained"]
    return LLMTokenizer(name, **{k: v for k, v in llm_conf.items() if k in ("revision", "speaker_change")})


def join(parts: list[list[int]], separator: int) -> list[int]:
    """Concatenates lists of ids with a separator between them.

    Args:
        parts: Ids of each talker; empty lists are left out.
        separator: Id that is put between two lists.

    Returns:
        One list of ids.
    """
    joined: list[int] = []
    for part in filter(None, parts):
        joined += [separator, *part] if joined else part
    return joined
