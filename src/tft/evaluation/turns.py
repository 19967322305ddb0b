"""Turns with their predictions: from a prediction table and the held-out conversations."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tft.conversation import Conversation, ParseError, ToolCall, Turn
from tft.errors import InputError


def join_turns(
    conversations: Sequence[Conversation], predictions: Iterable[Mapping[str, Any]], where: str
) -> list[Turn]:
    """Every assistant turn of the conversations with the row of `tables.PREDICTIONS` for it.

    Raises:
        InputError: a turn lacks its prediction or a prediction its turn; names `where` and the
            first such turn.
    """
    rows = {(row["conversation"], row["turn"]): row for row in predictions}
    turns = []
    for conversation in conversations:
        for index, call in conversation.turns():
            row = rows.pop((conversation.id, index), None)
            if row is None:
                raise InputError(
                    f"{where}: no prediction for turn {index} of conversation {conversation.id!r}; "
                    "run `dvc repro predict` again"
                )
            turns.append(
                Turn(
                    conversation=conversation.id,
                    index=index,
                    prefix=conversation.messages[:index],
                    reference=call,
                    prediction=_prediction(row),
                    raw=row["raw"],
                )
            )
    if rows:
        identifier, index = min(rows)
        raise InputError(
            f"{where}: turn {index} of conversation {identifier!r} (and {len(rows) - 1} more) is "
            "no turn of the held-out conversations; run `dvc repro predict` again"
        )
    return turns


def _prediction(row: Mapping[str, Any]) -> ToolCall | ParseError:
    if row["name"] is None:
        return ParseError(row["error"])
    return ToolCall(row["name"], json.loads(row["arguments"]))
