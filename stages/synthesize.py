"""Generate clean conversations from the relabelled traces of one scenario, and validate them.

Reads data/relabeled/SCENARIO/train.parquet (some of it becomes seeds),
data/filtered/SCENARIO/train.parquet (the rest is context) and data/split/task.json. Writes
data/tft/SCENARIO/train.parquet, every conversation generated, with the reason for keeping or
rejecting it, to data/tft/SCENARIO/drafts.parquet, and metrics/synthesize/SCENARIO.json.

data/split/test.parquet is read when all is done, to fail on copies of test conversations: nothing
that generates sees it.

    python stages/synthesize.py noisy_labels
"""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from tft.conversation import canonical_json
from tft.curated import Draft
from tft.curation.plans import choose_seeds
from tft.curation.rounds import VALID, generate_valid
from tft.curation.validate import copies_of
from tft.errors import InputError
from tft.params import load_params
from tft.roles import language_models, synthesizer_for
from tft.tables import (
    DRAFTS,
    message_rows,
    read_conversations,
    write_conversations,
    write_json,
    write_rows,
)
from tft.task import read_task
from tft.timing import timed


@click.command(help=__doc__)
@click.argument("scenario")
def main(scenario: str) -> None:
    """See the module's docstring."""
    params = load_params()
    params.scenario(scenario)
    settings = params.synthesize
    task = read_task(Path("data/split/task.json"))
    seeds, context = choose_seeds(
        read_conversations(Path("data/relabeled") / scenario / "train.parquet"),
        read_conversations(Path("data/filtered") / scenario / "train.parquet"),
        settings.seeds[scenario],
        params.seed,
    )
    name = f"synthesize@{scenario}"
    models = language_models(params)
    generate = synthesizer_for(params, models, name)(seeds, context, task)
    results = generate_valid(generate, seeds, context, task, settings, params.seed, name)
    kept = [one for draft, reason in results if reason == VALID and (one := draft.conversation)]

    folder = Path("data/tft") / scenario
    write_rows(folder / "drafts.parquet", DRAFTS, [row(*result) for result in results])
    counted = Counter(reason.split(":")[0] for _, reason in results)
    if len(kept) < settings.target:
        raise InputError(
            f"scenario {scenario!r}: {len(kept)} of {settings.target} conversations after "
            f"{settings.rounds} rounds, a yield of {len(kept) / len(results):.0%}: "
            f"{dict(counted)}. Every draft is in {folder}/drafts.parquet; lower "
            "synthesize.target, raise synthesize.rounds, or mend what is rejected most"
        )
    limit = settings.validation.max_similarity_to_tests
    tests = read_conversations(Path("data/split/test.parquet"))
    if copies := copies_of(kept, tests, limit):
        one, test, similarity = copies[0]
        raise InputError(
            f"scenario {scenario!r}: {one!r} is {similarity:.3f} like the test conversation "
            f"{test!r} (and {len(copies) - 1} more), limit {limit}: the traces hold test "
            "conversations; take them out, or raise synthesize.validation.max_similarity_to_tests"
        )
    write_conversations(folder / "train.parquet", kept)
    summary = {
        "seeds": len(seeds),
        "context": len(context),
        "generated": len(results),
        "kept": len(kept),
        "yield": round(len(kept) / len(results), 6),
        "reasons": dict(sorted(counted.items())),
        "messages_per_conversation": round(sum(len(one.messages) for one in kept) / len(kept), 2),
        **models.usage(),
    }
    write_json(Path("metrics/synthesize") / f"{scenario}.json", summary)
    print(f"{scenario}: {len(kept)} of {len(results)} generated conversations are valid")


def row(draft: Draft, reason: str) -> dict[str, Any]:
    """Of drafts.parquet; messages of valid conversations stand in train.parquet."""
    plan, one = draft.plan, draft.conversation
    return {
        "conversation": plan.id,
        "exemplars": canonical_json([item.id for item in plan.exemplars]),
        "context": canonical_json([item.id for item in plan.context]),
        "mutations": canonical_json(plan.mutations),
        "kept": reason == VALID,
        "reason": reason,
        "messages": message_rows(one.messages) if one and reason != VALID else None,
    }


if __name__ == "__main__":
    timed(main)
