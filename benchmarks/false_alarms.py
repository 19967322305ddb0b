"""How often the rules judge finds fault with what people wrote, and misses what they did not write.

Reads: the published traces (TFT_PUBLISHED, else `published` in params.yaml)
Run:   python benchmarks/false_alarms.py

Every message of the clean published traces is judged in its place, against a reference that reports
any result and answers any question, so that all rules apply: each fault found is a false alarm, but
for slips of the writers. Then the message of another conversation stands in its place: what is
found now is a hit, though some messages fit anywhere.
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
APART = 100  # messages between one and the one that takes its place

Place = tuple[Sequence[Message], ToolCall]


def faults(
    found: Sequence[Place], task: Task, today: date | None, reference: ToolCall = REFERENCE
) -> Counter[str]:
    """Faults found, by kind."""
    turns = [Turn("c", len(before), tuple(before), reference, said, "") for before, said in found]
    verdicts = judge(turns, task, today)
    return Counter(one.reason.split(":")[0] for one in verdicts if not one.good)


def places(conversations: Iterable[Conversation]) -> list[Place]:
    """Every message of the agents, with what comes before it."""
    return [
        (one.messages[:index], call)
        for one in conversations
        for index, call in one.turns()
        if call.name == RESPOND
    ]


def clean(conversations: Iterable[Conversation]) -> list[Conversation]:
    """The clean ones of the published traces."""
    return [one for one in conversations if "scenario-1" in one.source]


@click.command(help=__doc__)
def main() -> None:
    params = load_params()
    archive = environment("TFT_PUBLISHED", params.published.archive)
    conversations, task = read_published(archive, params.published)
    own = places(clean(conversations))
    moved = [call for _, call in own[APART:] + own[:APART]]
    swapped = [(before, said) for (before, _), said in zip(own, moved, strict=True)]
    rows = []
    for name, found in (("as written", own), ("of another conversation", swapped)):
        kinds = faults(found, task, params.judge.today)
        rows.append([name, len(found), kinds.total(), f"{kinds.total() / len(found):.4f}"])
        click.echo(f"{name}: {dict(kinds.most_common())}")
    click.echo(tabulate(rows, ["messages", "number", "found bad", "share"], disable_numparse=True))


if __name__ == "__main__":
    main()
