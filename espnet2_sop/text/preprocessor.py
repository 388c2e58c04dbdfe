"""Serialized text to the ids that the model trains on."""

import numpy as np

from espnet2_sop.io.errors import UserError
from espnet2_sop.text.llm_tokenizer import LLMTokenizer
from espnet2_sop.text.serialized import split_talkers
from espnet2_sop.text.vocabulary import TalkerVocabulary


class SerializedTextPreprocessor:
    """Called by ESPnet's dataset for each mixture. Texts become lower case, because LibriSpeech's are in capitals.

    Args:
        tokenizer: The LLM's, for the serialized target.
        vocabulary: Of the CTC heads, for the target of each talker slot.
        num_talkers: Talker slots S; a slot without a talker has the empty target.
    """

    def __init__(self, tokenizer: LLMTokenizer, vocabulary: TalkerVocabulary, num_talkers: int):
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.num_talkers = num_talkers

    def __call__(self, uid: str, data: dict) -> dict[str, np.ndarray]:
        """Turns the texts of one mixture into ids.

        Args:
            uid: Id of the mixture, for messages.
            data: Values of the mixture by name: `text` (serialized text) and, if present, `talkers` (T, talkers).

        Returns:
            The data with ids (U,) as `text`, ids (U_i,) as `text_spk1` ... `text_spkS`, and `talkers` padded with
            silence to (T, S).

        Raises:
            UserError: The mixture has more talkers than the model has slots.
        """
        if "text" not in data:
            return data
        text = data["text"].lower()
        talkers = split_talkers(text)
        if len(talkers) > self.num_talkers:
            raise UserError(f"{uid}: {len(talkers)} talkers, the model has {self.num_talkers} slots (--num_talkers)")
        data = {**data, "text": np.array(self.tokenizer.encode_serialized(text), dtype=np.int64)}
        for slot in range(self.num_talkers):
            ids = self.vocabulary.encode(talkers[slot]) if slot < len(talkers) else []
            data[f"text_spk{slot + 1}"] = np.array(ids, dtype=np.int64)
        if "talkers" in data:
            data["talkers"] = np.pad(data["talkers"], ((0, 0), (0, self.num_talkers - len(talkers))))
        return data
