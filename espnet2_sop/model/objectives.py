"""What a stage of training learns: the adapters in use and the shares of the two losses."""

from espnet2_sop.io.errors import UserError, require_choice

OBJECTIVES = {  # objective: adapters of the LLM that are in use
    "align": [],
    "sot": ["sot"],
    "ctc": [],
    "sop": ["sot", "sop"],
    "joint": ["sot", "sop"],  # one that is not trained stays zero, so a joint model decodes as one of stage 3
}
CTC_WEIGHTS = {  # share of the serialized CTC where a configuration does not give it
    "align": 0.9,  # the two gradients are then about equally large
    "joint": 0.3,  # hybrid loss of the paper's public code: 0.7 cross entropy + 0.3 CTC
}


def loss_share(objective: str, ctc_weight: float | None) -> float:
    """Share of the serialized CTC in the loss of an objective.

    Raises:
        UserError: The objective is not known, or the weight does not fit it.
    """
    require_choice("model_conf.objective", objective, OBJECTIVES)
    if objective == "ctc":
        if ctc_weight is not None:
            raise UserError("model_conf.ctc_weight: objective ctc has no other loss to weigh against; leave it out")
        return 1.0
    if ctc_weight is None:
        return CTC_WEIGHTS.get(objective, 0.0)
    if objective == "align" and not ctc_weight:
        raise UserError("model_conf.ctc_weight: objective align trains the heads, too; give more than 0")
    if not 0 <= ctc_weight < 1:
        raise UserError(
            f"model_conf.ctc_weight: {ctc_weight} is not from 0 to below 1; for CTC alone use objective ctc"
        )
    return float(ctc_weight)
