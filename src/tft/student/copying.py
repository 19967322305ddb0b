"""Sequences that teach copying: random spans of tokens that come again."""

import random

from tft.student.pack import Row


def add_copying(row: Row, length: int, tokens: range, rng: random.Random) -> None:
    """Append one sequence of `length` random tokens in which spans of earlier ones are repeated.

    The targets are the repeated tokens but for the first of each span, which nothing announces. The
    sequence sees nothing else in the row.
    """
    ids = rng.choices(tokens, k=length // 3)
    targets = []
    while len(ids) < length:
        ids += rng.choices(tokens, k=rng.randint(0, 4))
        span = rng.randint(2, 10)
        source = rng.randrange(len(ids) - span)
        targets.append((len(ids) + 1, len(ids) + span))
        ids += ids[source : source + span]
    start = row.add(ids, 0, [])
    for begin, end in targets:
        row.target(start + begin, start + end)
