"""Sequences that teach copying: random tokens in which spans recur."""

import random
from collections.abc import Sequence

from tft.student.pack import Row

SMALL_POOL = 0.5  # the share of sequences drawn from few tokens, each of which occurs many times
REPEATED = 0.05  # the share of tokens that repeat the one before, as in "Bora Bora"


def add_copying(row: Row, length: int, tokens: range, rng: random.Random) -> None:
    """Append one sequence of `length` random tokens in which spans of earlier tokens recur.

    The targets are the repeated tokens, except for the first of each span, which is unpredictable.
    In a sequence drawn from few tokens, the last token alone does not determine how a copy
    continues. The sequence attends to nothing else in the row.
    """
    pool: Sequence[int] = tokens
    if rng.random() < SMALL_POOL:
        pool = rng.sample(tokens, min(len(tokens), max(8, round(length ** rng.uniform(0.5, 1)))))
    ids = _drawn(pool, length // 3, rng)
    targets = []
    while len(ids) < length:
        ids += _drawn(pool, rng.randint(0, 4), rng)
        span = rng.randint(2, 10)
        source = rng.randrange(len(ids) - span)
        targets.append((len(ids) + 1, len(ids) + span))
        ids += ids[source : source + span]
    start = row.add(ids, 0, [])
    for begin, end in targets:
        row.target(start + begin, start + end)


def _drawn(pool: Sequence[int], number: int, rng: random.Random) -> list[int]:
    ids: list[int] = []
    while len(ids) < number:
        ids.append(ids[-1] if ids and rng.random() < REPEATED else rng.choice(pool))
    return ids
