"""Verdicts that need no judge: an unparseable output, a wrong function, an equal call."""

from tft.core.conversation import ParseError, Turn, Verdict


def settled(turn: Turn) -> Verdict | None:
    """The verdict on a turn, or None if it takes a judge to give one."""
    prediction, reference = turn.prediction, turn.reference
    if isinstance(prediction, ParseError):
        return Verdict(False, f"unparseable: {prediction.reason}")
    if prediction.name != reference.name:
        return Verdict(False, f"wrong_function: {prediction.name} instead of {reference.name}")
    if prediction.arguments_json == reference.arguments_json:
        return Verdict(True, "equal: the same call as the reference")
    return None
