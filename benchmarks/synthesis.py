"""How near conversations synthesized by rules come to real ones that nothing of them was made from.

Reads: data/filtered, data/relabeled, data/split/task.json, data/direct/baseline (the real traces)
Run:   python benchmarks/synthesis.py [SCENARIO ...]      (needs the extra `bench`)

Of each scenario it synthesizes as the stage does and compares with real training traces that are
neither seeds nor context; where all are one of the two, a quarter is withheld first. Cross-entropy
is that of real messages, names and moments masked, under a bigram model of the synthetic ones.
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
VOCABULARY = 4000  # words that a model must give some probability to
LEAST_UNSEEN = 50


def masked(one: Conversation) -> Conversation:
    """Without the names of this conversation, so that only wording is compared."""
    names = {
        value: "NAME"
        for message in one.messages
        for field, value in values_of(message)
        if field.endswith("name") or field in ("city", "phone_number", "street_address")
    }
    return Conversation(one.id, one.source, tuple(put(m, names) for m in one.messages))


def template(text: str) -> str:
    moments = find_times(text)
    rest = blank(text, moments)
    rest = blank(rest, find_dates(rest, TODAY))
    return " ".join(words(rest))


def said(conversations: Sequence[Conversation], role: str) -> list[str]:
    return [template(text) for one in conversations for text in texts(masked(one), role)]


def cross_entropy(made: Sequence[str], real: Sequence[str]) -> float:
    """Bits a word of real messages under an interpolated bigram model of those made."""
    model = [["<", *text.split(), ">"] for text in made]
    singles = Counter(word for one in model for word in one)
    pairs = Counter(pair for one in model for pair in pairwise(one))
    firsts, followers = Counter(), Counter()
    for (first, _), count in pairs.items():
        firsts[first] += count
        followers[first] += 1
    total = sum(singles.values())

    def bits(first: str, word: str) -> float:
        single = (singles[word] + 1) / (total + VOCABULARY)  # Witten-Bell below
        spread = followers[first]
        return -math.log2(
            (pairs[first, word] + (spread + 1) * single) / (firsts[first] + spread + 1)
        )

    found = [bits(*pair) for text in real for pair in pairwise(["<", *text.split(), ">"])]
    return fmean(found)


def shares(conversations: Sequence[Conversation]) -> list[str]:
    """What happens in conversations, per conversation or per call."""
    search, book = "FindRestaurants", "ReserveRestaurant"
    optional = ("price_range", "has_live_music", "serves_alcohol")
    named = [(call.name, call.arguments) for one in conversations for _, call in one.turns()]
    finds = [given for name, given in named if name == search]
    counts = [Counter(events(one)) for one in conversations]
    asked = [t for one in conversations for t in texts(one, "user") if "?" in t]
    ends = [texts(one, "agent")[-1] for one in conversations]
    lengths = [len(one.messages) for one in conversations]
    questions = [sum("?" in t for t in texts(one, "agent")) for one in conversations]
    return [
        f"{fmean(lengths):.1f} ± {stdev(lengths):.1f}",
        f"{fmean(c[search] for c in counts):.2f}",
        f"{fmean(c[book] for c in counts):.2f}",
        f"{fmean(c['nothing'] for c in counts):.2f}",
        f"{len(asked) / len(conversations):.2f}",
        f"{fmean(questions):.2f}",
        f"{fmean('?' not in end for end in ends):.2f}",
        " ".join(f"{fmean(key in given for given in finds):.2f}" for key in optional),
    ]


def bad_turns(conversations: Sequence[Conversation], task: Task) -> tuple[float, Counter[str]]:
    """Share of messages that the rules judge finds bad, against an empty reference."""
    found = places(conversations)
    reasons = faults(found, task, TODAY, EMPTY)
    return reasons.total() / len(found), reasons


@click.command()
@click.argument("scenarios", nargs=-1)
@click.option("--out", type=Path, help="folder for what was synthesized")
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
        unseen = [one for one in real if one.id not in {other.id for other in logged}]
        if len(unseen) < LEAST_UNSEEN:
            withheld = {one.id for one in random.Random(1).sample(real, len(real) // 4)}
            unseen = [one for one in real if one.id in withheld]
            relabeled = [one for one in relabeled if one.id not in withheld]
            logged = [one for one in logged if one.id not in withheld]
        seeds, context = choose_seeds(
            relabeled, logged, params.synthesize.seed_conversations[name], params.data_seed
        )
        begin = time.process_time()
        generate = synthesizer(seeds, context, task)
        results = generate_valid(
            generate, seeds, context, task, params.synthesize, params.data_seed, name
        )
        seconds = time.process_time() - begin
        made = [d.conversation for d, reason in results if reason == VALID and d.conversation]
        if out:
            write_conversations(out / f"{name}.parquet", made)
        bad, reasons = bad_turns(made[::4], task)
        print(name, len(made), dict(Counter(r.split(":")[0] for _, r in results)),
              dict(reasons.most_common()), flush=True)  # fmt: skip
        rows.append([
            name, len(unseen), f"{len(made) / len(results):.2f}", f"{seconds:.0f}",
            *(len(set(said(made, role))) for role in ("user", "agent")),
            *(f"{cross_entropy(said(made, role), said(unseen, role)):.2f}"
              for role in ("user", "agent")),
            f"{bigram_distance(made, real):.3f}", f"{bad:.3f}",
        ])  # fmt: skip
        rows2.append([name, *shares(made)])
    print(tabulate(rows, head, disable_numparse=True))
    print()
    print(tabulate(rows2, head2, disable_numparse=True))


if __name__ == "__main__":
    main()
