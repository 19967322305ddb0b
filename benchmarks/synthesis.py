"""How similar conversations synthesized by rules are to real ones that they were not made from.

Reads: data/filtered, data/relabeled, data/split/task.json, data/direct/baseline (the real traces)
Run:   python benchmarks/synthesis.py [SCENARIO ...]      (needs the extra `bench`)

For each scenario this synthesizes conversations as the stage does, and compares them with real
training traces that are neither seed conversations nor context; if there are none, a quarter is
withheld first. Cross-entropy is that of real messages, with names, times, and dates masked, under a
bigram model of the synthetic messages.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev

import click
from false_alarms import faults, places
from fidelity import bigram_distance, events, texts, words
from tabulate import tabulate

from tft.config import load_params
from tft.core.conversation import Conversation, ToolCall
from tft.core.tables import read_conversations, write_conversations
from tft.core.task import RESPOND, Task, read_task
from tft.standins.reading.facts import blank, find_dates, find_times
from tft.standins.synthesize.generate import synthesizer
from tft.standins.synthesize.substitute import put, values_of
from tft.synthesize.plans import choose_seeds
from tft.synthesize.rounds import VALID, generate_valid

TODAY = date(2019, 3, 1)
EMPTY = ToolCall(RESPOND, {"message": "I see."})  # a reference that reports and answers nothing
VOCABULARY = 4000  # the number of words to which a model must give some probability
LEAST_UNSEEN = 50


def masked(conversation: Conversation) -> Conversation:
    """The conversation with its names masked, so that only wording is compared."""
    names = {
        value: "NAME"
        for message in conversation.messages
        for field, value in values_of(message)
        if field.endswith("name") or field in ("city", "phone_number", "street_address")
    }
    return Conversation(
        conversation.id, conversation.source, tuple(put(m, names) for m in conversation.messages)
    )


def template(text: str) -> str:
    moments = find_times(text)
    remaining = blank(text, moments)
    remaining = blank(remaining, find_dates(remaining, TODAY))
    return " ".join(words(remaining))


def said(conversations: Sequence[Conversation], role: str) -> list[str]:
    return [
        template(text)
        for conversation in conversations
        for text in texts(masked(conversation), role)
    ]


def cross_entropy(generated: Sequence[str], real: Sequence[str]) -> float:
    """Bits per word of real messages, under an interpolated bigram model of generated ones."""
    model = [["<", *text.split(), ">"] for text in generated]
    singles = Counter(word for tokens in model for word in tokens)
    pairs = Counter(pair for tokens in model for pair in pairwise(tokens))
    firsts, followers = Counter(), Counter()
    for (first, _), count in pairs.items():
        firsts[first] += count
        followers[first] += 1
    total = sum(singles.values())

    def bits(first: str, word: str) -> float:
        single = (singles[word] + 1) / (total + VOCABULARY)  # interpolated by Witten-Bell
        spread = followers[first]
        return -math.log2(
            (pairs[first, word] + (spread + 1) * single) / (firsts[first] + spread + 1)
        )

    costs = [bits(*pair) for text in real for pair in pairwise(["<", *text.split(), ">"])]
    return fmean(costs)


def shares(conversations: Sequence[Conversation]) -> list[str]:
    """What happens in conversations, formatted, per conversation or per call."""
    search, book = "FindRestaurants", "ReserveRestaurant"
    optional = ("price_range", "has_live_music", "serves_alcohol")
    named = [
        (call.name, call.arguments)
        for conversation in conversations
        for _, call in conversation.turns()
    ]
    finds = [arguments for name, arguments in named if name == search]
    counts = [Counter(events(conversation)) for conversation in conversations]
    questions_asked = [
        t for conversation in conversations for t in texts(conversation, "user") if "?" in t
    ]
    ends = [texts(conversation, "agent")[-1] for conversation in conversations]
    lengths = [len(conversation.messages) for conversation in conversations]
    questions = [
        sum("?" in t for t in texts(conversation, "agent")) for conversation in conversations
    ]
    return [
        f"{fmean(lengths):.1f} ± {stdev(lengths):.1f}",
        f"{fmean(c[search] for c in counts):.2f}",
        f"{fmean(c[book] for c in counts):.2f}",
        f"{fmean(c['nothing'] for c in counts):.2f}",
        f"{len(questions_asked) / len(conversations):.2f}",
        f"{fmean(questions):.2f}",
        f"{fmean('?' not in end for end in ends):.2f}",
        " ".join(f"{fmean(key in arguments for arguments in finds):.2f}" for key in optional),
    ]


def bad_turns(conversations: Sequence[Conversation], task: Task) -> tuple[float, Counter[str]]:
    """The share of messages that the rules judge calls bad, against an empty reference."""
    judged_places = places(conversations)
    reasons = faults(judged_places, task, TODAY, EMPTY)
    return reasons.total() / len(judged_places), reasons


@click.command()
@click.argument("scenarios", nargs=-1)
@click.option("--out", type=Path, help="Folder for the synthesized conversations.")
def main(scenarios: Sequence[str], out: Path | None) -> None:
    params = load_params()
    task = read_task(Path("data/split/task.json"))
    real = read_conversations(Path("data/direct/baseline/train.parquet"))
    head = ["", "unseen", "yield", "seconds", "templates user", "agent", "bits user", "agent",
            "bigrams", "bad messages"]  # fmt: skip
    head2 = ["", "messages", "searches", "bookings", "empty", "user asks", "agent asks",
             "no ? at end", "optional"]  # fmt: skip
    rows, rows2 = [], [["real", *shares(real)]]
    bad, _ = bad_turns(real[::8], task)
    rows.append(["real", *[""] * 3, *(len(set(said(real, r))) for r in ("user", "agent")),
                 *[""] * 3, f"{bad:.3f}"])  # fmt: skip
    for name in scenarios or params.run:
        relabeled, logged = (
            read_conversations(Path("data") / step / name / "train.parquet")
            for step in ("relabeled", "filtered")
        )
        unseen = [
            conversation
            for conversation in real
            if conversation.id not in {trace.id for trace in logged}
        ]
        if len(unseen) < LEAST_UNSEEN:
            withheld = {
                conversation.id for conversation in random.Random(1).sample(real, len(real) // 4)
            }
            unseen = [conversation for conversation in real if conversation.id in withheld]
            relabeled = [
                conversation for conversation in relabeled if conversation.id not in withheld
            ]
            logged = [conversation for conversation in logged if conversation.id not in withheld]
        seeds, context = choose_seeds(
            relabeled, logged, params.synthesize.seed_conversations[name], params.data_seed
        )
        begin = time.process_time()
        generate = synthesizer(seeds, context, task)
        results = generate_valid(
            generate, seeds, context, task, params.synthesize, params.data_seed, name
        )
        seconds = time.process_time() - begin
        generated = [d.conversation for d, reason in results if reason == VALID and d.conversation]
        if out:
            write_conversations(out / f"{name}.parquet", generated)
        bad, reasons = bad_turns(generated[::4], task)
        print(name, len(generated), dict(Counter(r.split(":")[0] for _, r in results)),
              dict(reasons.most_common()), flush=True)  # fmt: skip
        rows.append([
            name, len(unseen), f"{len(generated) / len(results):.2f}", f"{seconds:.0f}",
            *(len(set(said(generated, role))) for role in ("user", "agent")),
            *(f"{cross_entropy(said(generated, role), said(unseen, role)):.2f}"
              for role in ("user", "agent")),
            f"{bigram_distance(generated, real):.3f}", f"{bad:.3f}",
        ])  # fmt: skip
        rows2.append([name, *shares(generated)])
    print(tabulate(rows, head, disable_numparse=True))
    print()
    print(tabulate(rows2, head2, disable_numparse=True))


if __name__ == "__main__":
    main()
