"""How similar simulated dialogues (corpus: builtin) are to real ones (corpus: sgd).

Reads: the SGD archive (TFT_SGD_ARCHIVE)
Run:   python benchmarks/fidelity.py      (needs the extra `bench`)

For the benchmark's service in both corpora: lengths, calls, failures, and words; the distance of
event bigrams; and how well a classifier separates the two by the words of single messages and by
the events of whole dialogues (0.5 is chance). For comparison, the same distances between two halves
of the real dialogues.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean, stdev

import click
import numpy as np
from scipy.spatial.distance import jensenshannon
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from tabulate import tabulate

from tft.config import load_params
from tft.core.conversation import Conversation
from tft.core.task import RESPOND
from tft.corpus.choose import load_corpus


def events(conversation: Conversation) -> list[str]:
    """The kind of each message: user, results, nothing (an empty result), or the called tool."""
    kinds = []
    for message in conversation.messages:
        if message.tool_call is not None:
            kinds.append(message.tool_call.name)
        elif (message.content or "").startswith("["):
            kinds.append("nothing" if message.content == "[]" else "results")
        else:
            kinds.append("user")
    return kinds


def texts(conversation: Conversation, role: str) -> list[str]:
    if role == "user":
        return [
            m.content for m in conversation.messages if m.content and not m.content.startswith("[")
        ]
    return [
        str(call.arguments.get("message"))
        for _, call in conversation.turns()
        if call.name == RESPOND
    ]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def distinct(conversations: Sequence[Conversation], sample: int = 10_000) -> int:
    """The number of distinct words among the first `sample`, comparable for corpora of any size."""
    spoken = [
        word
        for conversation in conversations
        for role in ("user", "agent")
        for text in texts(conversation, role)
        for word in words(text)
    ]
    return len(set(spoken[:sample]))


def bigram_distance(a: Sequence[Conversation], b: Sequence[Conversation]) -> float:
    """The Jensen-Shannon distance, in bits: 0 means equal, 1 means nothing in common."""
    counts = [
        Counter(pair for conversation in side for pair in pairwise(events(conversation)))
        for side in (a, b)
    ]
    keys = sorted(set(counts[0]) | set(counts[1]))
    return float(jensenshannon(*([count[key] for key in keys] for count in counts), base=2))


def separable(
    a: Sequence[Conversation], b: Sequence[Conversation], documents: Callable, vectorizer: object
) -> float:
    """The area under the ROC curve of a logistic regression, with five-fold cross-validation."""
    sides = [[text for conversation in side for text in documents(conversation)] for side in (a, b)]
    least = min(map(len, sides))
    rng = random.Random(0)
    sides = [rng.sample(side, least) for side in sides]
    model = make_pipeline(vectorizer, LogisticRegression(max_iter=1000))
    labels = np.repeat([0, 1], least)
    return float(cross_val_score(model, [*sides[0], *sides[1]], labels, scoring="roc_auc").mean())


@click.command()
def main() -> None:
    params = load_params()
    corpora = {}
    for name in ("sgd", "builtin"):
        conversations, *_ = load_corpus(params.model_copy(update={"corpus": name}))
        corpora[name] = [
            conversation
            for conversation in conversations
            if conversation.source == params.sgd.service
        ]
    rows = []
    for name, own in corpora.items():
        lengths = [len(conversation.messages) for conversation in own]
        called = [Counter(call.name for _, call in conversation.turns()) for conversation in own]
        tools = sorted({tool for count in called for tool in count} - {RESPOND})
        failed = fmean("nothing" in events(conversation) for conversation in own)
        row = [name, len(own), f"{fmean(lengths):.1f} ± {stdev(lengths):.1f}"]
        row += [f"{fmean(count[tool] for count in called):.2f}" for tool in tools]
        row += [f"{fmean(count[tools[0]] > 1 for count in called):.2f}", f"{failed:.2f}"]
        for role in ("user", "agent"):
            messages = [t for conversation in own for t in texts(conversation, role)]
            row.append(f"{fmean(len(words(t)) for t in messages):.1f}")
        rows.append([*row, distinct(own)])
    head = ["corpus", "dialogues", "messages", *tools, "searches > 1", "an empty result"]
    head += ["words per user message", "words per agent message", "distinct words in 10,000"]
    print(tabulate(rows, head, disable_numparse=True))

    real, simulated = corpora["sgd"], corpora["builtin"]
    shuffled = random.Random(0).sample(real, len(real))
    halves = shuffled[: len(real) // 2], shuffled[len(real) // 2 :]
    measures = {
        "event bigrams, Jensen-Shannon distance": bigram_distance,
        "events of a dialogue, ROC AUC": lambda a, b: separable(
            a,
            b,
            lambda conversation: [" ".join(events(conversation))],
            CountVectorizer(ngram_range=(1, 3)),
        ),
        "a user message's words, ROC AUC": lambda a, b: separable(
            a, b, lambda conversation: texts(conversation, "user"), TfidfVectorizer()
        ),
        "an agent message's words, ROC AUC": lambda a, b: separable(
            a, b, lambda conversation: texts(conversation, "agent"), TfidfVectorizer()
        ),
    }
    rows = [
        [name, f"{of(real, simulated):.3f}", f"{of(*halves):.3f}"] for name, of in measures.items()
    ]
    print()
    print(tabulate(rows, ["", "real and simulated", "two halves of real"], disable_numparse=True))


if __name__ == "__main__":
    main()
