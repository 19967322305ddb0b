"""Generate and validate, batch after batch, until there are enough valid conversations."""

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
    """Everything generated, in order, each with VALID, SPARE or the reason against it.

    It ends when `params.target` drafts are VALID, or after `params.rounds` batches with fewer.

    Args:
        generate: turns plans into drafts.
        seeds: relabeled traces; drafts that copy one are rejected.
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


def draft_row(draft: Draft, reason: str) -> dict[str, Any]:
    """A row of `tables.DRAFTS`; the messages of valid conversations are in train.parquet."""
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
    """The valid conversations.

    Raises:
        InputError: there are fewer than params.target; says what was rejected and why.
    """
    kept = [
        draft.conversation for draft, reason in results if reason == VALID and draft.conversation
    ]
    if len(kept) < params.target:
        raise InputError(
            f"scenario {scenario!r}: {len(kept)} of {params.target} conversations after "
            f"{params.rounds} rounds, a yield of {len(kept) / len(results):.0%}: "
            f"{dict(_reasons(results))}. Every draft is in {folder}/drafts.parquet; lower "
            "synthesize.target, raise synthesize.rounds, or mend what is rejected most"
        )
    return kept


def summarize(results: Sequence[tuple[Draft, str]], kept: Sequence[Conversation]) -> dict[str, Any]:
    """How much was generated and kept, and why the rest was not."""
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
