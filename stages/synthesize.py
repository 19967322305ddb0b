"""Generate clean conversations from the relabelled traces of one scenario, and validate them.

Reads data/relabeled/SCENARIO/train.parquet (some of it becomes seeds),
data/filtered/SCENARIO/train.parquet (the rest is context) and data/split/task.json. Writes
data/tft/SCENARIO/train.parquet, every conversation generated, with the reason for keeping or
rejecting it, to data/tft/SCENARIO/drafts.parquet, and metrics/synthesize/SCENARIO.json.

data/split/test.parquet is read when all is done, to fail on copies of test conversations: nothing
that generates sees it.

    python stages/synthesize.py noisy_labels
"""

import math
from collections import Counter
from pathlib import Path

import click
from tqdm import tqdm

from tft.conversation import canonical_json
from tft.curation.plans import choose_seeds, draw_plan
from tft.curation.validate import copies_of, validate
from tft.errors import InputError
from tft.params import load_params
from tft.roles import synthesizer_for
from tft.tables import (
    DRAFTS,
    message_rows,
    read_conversations,
    write_conversations,
    write_json,
    write_rows,
)
from tft.task import read_task

KEPT = "valid"


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
    synthesize, usage = synthesizer_for(params, f"synthesize@{scenario}")
    generate = synthesize(seeds, context, task)

    kept, rows = [], []
    with tqdm(total=settings.target, desc=f"synthesize@{scenario}") as progress:
        for _ in range(settings.rounds):
            if len(kept) == settings.target:
                break
            # As many as will do at the yield so far, which nobody knows before the first batch.
            share = max(len(kept), 1) / len(rows) if rows else 1.0
            needed = math.ceil((settings.target - len(kept)) / share)
            numbers = range(len(rows), len(rows) + min(settings.batch, needed))
            plans = [draw_plan(n, seeds, context, settings, params.seed) for n in numbers]
            drafts = generate(plans)
            reasons = validate(drafts, kept, seeds, task, settings.validation)
            for draft, flaw in zip(drafts, reasons, strict=True):
                reason = flaw or (KEPT if len(kept) < settings.target else "not needed")
                one = draft.conversation
                if reason == KEPT and one is not None:
                    kept.append(one)
                    progress.update()
                rows.append(
                    {
                        "conversation": draft.plan.id,
                        "exemplars": canonical_json([item.id for item in draft.plan.exemplars]),
                        "context": canonical_json([item.id for item in draft.plan.context]),
                        "mutations": canonical_json(draft.plan.mutations),
                        "kept": reason == KEPT,
                        "reason": reason,
                        "messages": message_rows(one.messages) if one and reason != KEPT else None,
                    }
                )

    folder = Path("data/tft") / scenario
    write_rows(folder / "drafts.parquet", DRAFTS, rows)
    counted = Counter(row["reason"].split(":")[0] for row in rows)
    if len(kept) < settings.target:
        raise InputError(
            f"scenario {scenario!r}: {len(kept)} of {settings.target} conversations after "
            f"{settings.rounds} rounds, a yield of {len(kept) / len(rows):.0%}: {dict(counted)}. "
            f"Every draft is in {folder}/drafts.parquet; lower synthesize.target, raise "
            "synthesize.rounds, or mend what is rejected most"
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
        "generated": len(rows),
        "kept": len(kept),
        "yield": round(len(kept) / len(rows), 6),
        "reasons": dict(sorted(counted.items())),
        "messages_per_conversation": round(sum(len(one.messages) for one in kept) / len(kept), 2),
        **usage(),
    }
    write_json(Path("metrics/synthesize") / f"{scenario}.json", summary)
    print(f"{scenario}: {len(kept)} of {len(rows)} generated conversations are valid")


if __name__ == "__main__":
    main()
