"""Generate and validate conversations, batch by batch, until enough are valid."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tft.core.conversation import Conversation, canonical_json
from tft.core.errors import InputError
from tft.core.records import Draft, Plan
from tft.core.tables import message_rows
from tft.core.task import Task
from tft.synthesize.config import SynthesizeConfig
from tft.synthesize.plans import draw_plan
from tft.synthesize.validate import validate

VALID = "valid"
SPARE = "not needed"  # valid too, but beyond the target


def generate_valid(
    generate: Callable[[Sequence[Plan]], list[Draft]],
    seeds: Sequence[Conversation],
    context: Sequence[Conversation],
    task: Task,
    params: SynthesizeConfig,
    seed: int,
    name: str,
) -> list[tuple[Draft, str]]:
    """Generate until `params.target` drafts are valid, or for `params.rounds` batches.

    Args:
        generate: Turns plans into drafts.
        seeds: Seed conversations. Drafts that copy one are rejected.
        context: Traces as they were logged.
        task: The task, whose tools the calls must fit.
        params: Target, batch, rounds, and limits.
        seed: Random seed of the plans.
        name: Name of the progress bar.

    Returns:
        Every draft, in order, with VALID, SPARE, or the reason why it was rejected.
    """
    kept: list[Conversation] = []
    results: list[tuple[Draft, str]] = []
    with tqdm(total=params.target, desc=name) as progress:
        for _ in range(params.rounds):
            if len(kept) == params.target:
                break
            # As many as suffice at the yield so far, which is unknown before the first batch.
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


def draft_row(draft: Draft, reason: str) -> dict[str, Any]:
    """A row of `tables.DRAFTS`. The messages of valid conversations are in train.parquet only."""
    plan, conversation = draft.plan, draft.conversation
    return {
        "conversation": plan.id,
        "exemplars": canonical_json([exemplar.id for exemplar in plan.exemplars]),
        "context": canonical_json([trace.id for trace in plan.context]),
        "mutations": canonical_json(plan.mutations),
        "kept": reason == VALID,
        "reason": reason,
        "messages": message_rows(conversation.messages)
        if conversation and reason != VALID
        else None,
    }


def enough(
    results: Sequence[tuple[Draft, str]], params: SynthesizeConfig, scenario: str, folder: Path
) -> list[Conversation]:
    """The valid conversations, if the target was reached.

    Raises:
        InputError: there are fewer than `params.target`; counts the rejected drafts by reason.
    """
    kept = [
        draft.conversation for draft, reason in results if reason == VALID and draft.conversation
    ]
    if len(kept) < params.target:
        raise InputError(
            f"scenario {scenario!r}: {len(kept)} of {params.target} conversations after "
            f"{params.rounds} rounds, a yield of {len(kept) / len(results):.0%}: "
            f"{dict(_reasons(results))}. Every draft is in {folder}/drafts.parquet; lower "
            "synthesize.target, raise synthesize.rounds, or fix the most frequent reason"
        )
    return kept


def summarize(results: Sequence[tuple[Draft, str]], kept: Sequence[Conversation]) -> dict[str, Any]:
    """Counts of generated, kept, and rejected drafts, the latter by reason."""
    messages = sum(len(conversation.messages) for conversation in kept)
    return {
        "generated": len(results),
        "kept": len(kept),
        "yield": round(len(kept) / len(results), 6),
        "reasons": dict(sorted(_reasons(results).items())),
        "messages_per_conversation": round(messages / len(kept), 2),
    }


def _reasons(results: Sequence[tuple[Draft, str]]) -> Counter[str]:
    return Counter(reason.split(":")[0] for _, reason in results)
