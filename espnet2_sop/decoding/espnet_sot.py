"""ESPnet's own SOT recogniser: beam search over mixtures."""

import logging
from pathlib import Path

import numpy as np
from espnet2.bin.asr_inference import Speech2Text

import espnet2_sop.training.espnet_sot  # noqa: F401  # registers the front end that configurations name
from espnet2_sop.decoding.hypotheses import Hypothesis
from espnet2_sop.io.files import read_yaml
from espnet2_sop.model.checkpoint import load_checkpoint
from espnet2_sop.text.serialized import serialize, split_talkers

MAX_LENGTH_RATIO = 3.0  # most characters for an encoder frame, as in ESPnet's recipe: room for all talkers at once


class BaselineDecoder:
    """Writes the talkers' words with ESPnet's batched beam search; CTC has the weight that it had in training.

    ESPnet's convolutional subsampling sees the padding of a batch, so an output may depend slightly on the others.

    Args:
        run: Output folder of `espnet2-sop train --task asr`.
        checkpoint: File in it.
        beam: Beam size.
        device: `cpu` or `cuda`.

    Raises:
        UserError: The checkpoint is missing, broken or of another model.
    """

    def __init__(self, run: str | Path, checkpoint: str, beam: int = 1, device: str = "cpu"):
        logging.getLogger("espnet2.legacy.nets").setLevel(logging.ERROR)  # else two lines for every cut output
        config = Path(run) / "config.yaml"
        self.recogniser = Speech2Text(
            asr_train_config=config,
            device=device,
            beam_size=beam,
            ctc_weight=read_yaml(config)["model_conf"].get("ctc_weight", 0.5),  # as in training; ESPnet's default
            lm_weight=0.0,
            maxlenratio=MAX_LENGTH_RATIO,
        )
        load_checkpoint(Path(run) / checkpoint, self.recogniser.asr_model)

    def __call__(self, waveforms: list[np.ndarray], references: list[str] | None = None) -> list[Hypothesis]:
        """Decodes waveforms (T_i,) float32, 16 kHz; the references, which an oracle would read, are not looked at."""
        best = [hypotheses[0][0] for hypotheses in self.recogniser(waveforms)]
        return [Hypothesis(serialize(split_talkers(text))) for text in best]
