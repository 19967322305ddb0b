"""Rows of packed conversations, without padding, in which conversations do not see each other.

Every token attends only to its ancestors: the shared prefix (computed once per row), its trunk up
to the start of its segment, and its segment so far. `segments` encodes this for
`attention.segment_attention`, and `mask` for any other attention, in tests.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from tft.student.encode import Encoded

IGNORED = -100  # cross_entropy's ignore_index


@dataclass
class Row:
    """A row of T tokens under construction; the token at `predictors[i]` predicts `labels[i]`."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    predictors: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    # (from, to, ranges that the segment sees in full); within a segment, attention is causal.
    segments: list[tuple[int, int, list[tuple[int, int]]]] = field(default_factory=list)

    def add(self, ids: Sequence[int], position: int, sees: list[tuple[int, int]]) -> int:
        """Append a segment whose first token has the given position, and return its start."""
        start = len(self.ids)
        self.ids += ids
        self.positions += range(position, position + len(ids))
        self.segments.append((start, len(self.ids), sees))
        return start

    def target(self, start: int, end: int) -> None:
        """Train on the tokens [start, end) of the row, each predicted by the one before it."""
        self.predictors += range(start - 1, end - 1)
        self.labels += self.ids[start:end]

    def add_conversation(self, encoded: Encoded, prefix: int) -> None:
        """Append a conversation whose first `prefix` tokens are at the start of the row."""
        root = [(0, prefix)] if prefix else []
        start = self.add(encoded.trunk[prefix:], prefix, root)
        for begin, end in encoded.targets:
            self.target(start + begin - prefix, start + end - prefix)
        for branch in encoded.branches:
            sees = [*root, (start, start + branch.start - prefix)]
            at = self.add(branch.ids, branch.start, sees)
            self.target(at + branch.targets[0], at + branch.targets[1])

    def mask(self) -> torch.Tensor:
        """Booleans [T, T], True where the token of the row may attend to that of the column."""
        size = len(self.ids)
        mask = torch.zeros(size, size, dtype=torch.bool)
        for start, end, sees in self.segments:
            mask[start:end, start:end] = torch.ones(end - start, end - start).tril().bool()
            for begin, stop in sees:
                mask[start:end, begin:stop] = True
        return mask

    def inputs(self) -> dict[str, Any]:
        """The model's inputs, with a batch dimension of 1.

        `labels` are aligned with the logits that `logits_to_keep` selects, so they must not be
        shifted again. Their first entry is a dummy, because for causal models the Trainer counts
        targets from the second label on. The 4D mask keeps transformers from building its own.
        """
        return {
            "input_ids": torch.tensor([self.ids]),
            "position_ids": torch.tensor([self.positions]),
            "attention_mask": torch.zeros(1, 1, 1, 1),
            "segments": self.segments,
            "logits_to_keep": torch.tensor([0, *self.predictors]),
            "labels": torch.tensor([[IGNORED, *self.labels]]),
        }


def pack(conversations: Sequence[Encoded], prefix: int, row_tokens: int) -> Iterator[Row]:
    """Fill rows of up to `row_tokens` tokens with conversations, in the given order.

    A longer conversation gets its own row; conversations are never truncated.
    """
    row = None
    for encoded in conversations:
        if row is None or len(row.ids) + encoded.tokens - prefix > row_tokens:
            if row is not None:
                yield row
            row = Row()
            if prefix:
                row.add(encoded.trunk[:prefix], 0, [])
        row.add_conversation(encoded, prefix)
    if row is not None:
        yield row


def epochs(
    conversations: Sequence[Encoded], prefix: int, row_tokens: int, number: int, seed: int
) -> Iterator[Row]:
    """Yield the rows of `number` epochs, shuffled and packed again for each epoch."""
    for epoch in range(number):
        order = list(conversations)
        random.Random(f"{seed}/epoch {epoch}").shuffle(order)
        yield from pack(order, prefix, row_tokens)
