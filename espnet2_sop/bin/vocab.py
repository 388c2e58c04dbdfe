"""`espnet2-sop vocab`: vocabularies of the serialized CTC heads and of ESPnet's SOT baseline."""

import argparse
from pathlib import Path

from espnet2_sop.io.errors import UserError
from espnet2_sop.io.files import read_configs


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espnet2-sop vocab",
        description="Makes the folder that the training option --ctc_vocab names. Kind `llm` takes the LLM's own "
        "tokens (the paper); `sentencepiece` trains a small vocabulary on the transcripts, whose text is tokenized "
        "again for the prompt. Kind `char` is the token list of ESPnet's SOT baseline (--token_list OUT/tokens.txt).",
    )
    parser.add_argument("--kind", choices=("llm", "sentencepiece", "char"), default="llm")
    parser.add_argument(
        "--config", action="append", default=[], help="for llm: as for training; their llm_conf names the LLM"
    )
    parser.add_argument("--data", help="for the others: training data directory, its text or sources.jsonl is read")
    parser.add_argument("--size", type=int, default=1000, help="pieces of the SentencePiece vocabulary (default 1000)")
    parser.add_argument("--out", required=True, help="folder to make")
    return parser


def transcripts(data: Path) -> list[str]:
    """Returns the words of every talker of a data directory, one string each, in lower case as models see them."""
    from espnet2_sop.io.files import read_kaldi
    from espnet2_sop.mixture.simulation.pool import read_pool
    from espnet2_sop.text.serialized import split_talkers

    if (data / "sources.jsonl").is_file():
        return [utterance.text.lower() for utterance in read_pool(data / "sources.jsonl")]
    return [words.lower() for text in read_kaldi(data / "text").values() for words in split_talkers(text)]


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    if args.kind == "llm" and not args.config:
        raise UserError("--config: name the model configuration whose llm_conf names the LLM")
    if args.kind != "llm" and not args.data:
        raise UserError("--data: name the training data directory whose transcripts shall be read")
    from espnet2_sop.text.vocabulary import SentencePieceVocabulary, character_tokens, save_vocabulary

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    if args.kind == "llm":
        from espnet2_sop.text.llm_tokenizer import build_tokenizer

        tokenizer = build_tokenizer(read_configs(args.config).get("llm_conf", {}))
        pieces = tokenizer.hf.convert_ids_to_tokens(range(tokenizer.vocab_size))
    elif args.kind == "sentencepiece":
        SentencePieceVocabulary.train(transcripts(Path(args.data)), args.size, out)
        spm = SentencePieceVocabulary(out / "spm.model").spm
        pieces = [spm.id_to_piece(i) for i in range(spm.get_piece_size())]
    else:
        pieces = character_tokens(transcripts(Path(args.data)))
    save_vocabulary(out, args.kind, pieces)
    print(f"{out}: {len(pieces)} tokens, kind {args.kind}")
