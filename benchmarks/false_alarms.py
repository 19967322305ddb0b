"""False alarms of the rules judge on what people wrote, and hits on messages that do not belong.

Reads: the published traces (TFT_PUBLISHED, else `published` in params.yaml)
Run:   python benchmarks/false_alarms.py

Every message of the clean published traces is judged in its place, against a reference that reports
every result and answers every question, so that all rules apply. Each fault found is a false alarm,
except for mistakes of the writers. Then each message is replaced by one from another conversation.
Faults found now are hits, although some messages fit anywhere.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date

import click
from tabulate import tabulate

from tft.config import load_params
from tft.core.config import environment
from tft.core.conversation import Conversation, Message, ToolCall, Turn
from tft.core.task import RESPOND, Task
from tft.corpus.published import read_published
from tft.standins.judge.verdict import judge

REFERENCE = ToolCall(RESPOND, {"message": "Sorry, yes."})
APART = 100  # the distance in messages between a message and its replacement

Place = tuple[Sequence[Message], ToolCall]


def faults(
    judged_places: Sequence[Place], task: Task, today: date | None, reference: ToolCall = REFERENCE
) -> Counter[str]:
    """The faults found, by kind."""
    turns = [
        Turn("c", len(before), tuple(before), reference, call, "") for before, call in judged_places
    ]
    verdicts = judge(turns, task, today)
    return Counter(verdict.reason.split(":")[0] for verdict in verdicts if not verdict.good)


def places(conversations: Iterable[Conversation]) -> list[Place]:
    """Every message of the agent, with the messages before it."""
    return [
        (conversation.messages[:index], call)
        for conversation in conversations
        for index, call in conversation.turns()
        if call.name == RESPOND
    ]


def clean(conversations: Iterable[Conversation]) -> list[Conversation]:
    """The clean traces among the published ones."""
    return [conversation for conversation in conversations if "scenario-1" in conversation.source]


@click.command(help=__doc__)
def main() -> None:
    params = load_params()
    archive = environment("TFT_PUBLISHED", params.published.archive)
    conversations, task = read_published(archive, params.published)
    own = places(clean(conversations))
    moved = [call for _, call in own[APART:] + own[:APART]]
    swapped = [(before, call) for (before, _), call in zip(own, moved, strict=True)]
    rows = []
    for name, judged_places in (("as written", own), ("of another conversation", swapped)):
        kinds = faults(judged_places, task, params.judge.today)
        rows.append(
            [name, len(judged_places), kinds.total(), f"{kinds.total() / len(judged_places):.4f}"]
        )
        click.echo(f"{name}: {dict(kinds.most_common())}")
    click.echo(tabulate(rows, ["messages", "number", "found bad", "share"], disable_numparse=True))


if __name__ == "__main__":
    main()
