"""Generate and validate, batch after batch, until there are enough valid conversations."""

import math
from collections.abc import Callable, Sequence

from tqdm import tqdm

from tft.conversation import Conversation
from tft.curated import Draft, Plan
from tft.curation.plans import draw_plan
from tft.curation.validate import validate
from tft.params import Synthesize
from tft.task import Task

VALID = "valid"
SPARE = "not needed"  # valid too, but beyond the target


def generate_valid(
    generate: Callable[[Sequence[Plan]], list[Draft]],
    seeds: Sequence[Conversation],
    context: Sequence[Conversation],
    task: Task,
    params: Synthesize,
    seed: int,
    name: str,
) -> list[tuple[Draft, str]]:
    """Everything generated, in order, each with VALID, SPARE or the reason against it.

    It ends when `params.target` drafts are VALID, or after `params.rounds` batches with fewer.

    Args:
        generate: turns plans into drafts.
        seeds: relabelled traces; drafts that copy one are rejected.
        context: traces as they were logged.
        task: whose tools the calls must fit.
        params: target, batch, rounds and limits.
        seed: of the plans.
        name: of the progress bar.
    """
    kept: list[Conversation] = []
    results: list[tuple[Draft, str]] = []
    with tqdm(total=params.target, desc=name) as progress:
        for _ in range(params.rounds):
            if len(kept) == params.target:
                break
            # As many as will do at the yield so far, which nobody knows before the first batch.
            share = max(len(kept), 1) / len(results) if results else 1.0
            needed = math.ceil((params.target - len(kept)) / share)
            numbers = range(len(results), len(results) + min(params.batch, needed))
            drafts = generate([draw_plan(n, seeds, context, params, seed) for n in numbers])
            flaws = validate(drafts, kept, seeds, task, params.validation)
            for draft, flaw in zip(drafts, flaws, strict=True):
                reason = flaw or (VALID if len(kept) < params.target else SPARE)
                results.append((draft, reason))
                if reason == VALID and draft.conversation is not None:
                    kept.append(draft.conversation)
                    progress.update()
    return results
