"""Generate clean conversations from the relabeled traces of one scenario, and validate them.

Reads data/relabeled/SCENARIO/train.parquet (some of which become seed conversations),
data/filtered/SCENARIO/train.parquet (the rest, which is context), and data/split/task.json. Writes
data/tft/SCENARIO: train.parquet, drafts.parquet (all generated conversations, with the reason for
keeping or rejecting each), and summary.json.

Reads data/test/conversations.parquet only after generation, to fail on copies of test
conversations.

    python stages/synthesize.py noisy_labels
"""

from pathlib import Path

from tft.config import Params, load_params
from tft.core.stage import stage
from tft.core.tables import (
    DRAFTS,
    read_conversations,
    write_conversations,
    write_json,
    write_rows,
)
from tft.core.task import read_task
from tft.llm import connect
from tft.synthesize.choose import choose
from tft.synthesize.plans import choose_seeds
from tft.synthesize.rounds import draft_row, enough, generate_valid, summarize
from tft.synthesize.validate import refuse_copies


@stage(load_params)
def main(params: Params, scenario: str) -> None:
    """See the module's docstring."""
    params.scenario(scenario)
    settings = params.synthesize
    task = read_task(Path("data/split/task.json"))
    seeds, context = choose_seeds(
        read_conversations(Path("data/relabeled") / scenario / "train.parquet"),
        read_conversations(Path("data/filtered") / scenario / "train.parquet"),
        settings.seed_conversations[scenario],
        params.data_seed,
    )
    name = f"synthesize@{scenario}"
    models = connect(params.llm)
    generate = choose(settings, models, name)(seeds, context, task)
    results = generate_valid(generate, seeds, context, task, settings, params.data_seed, name)

    folder = Path("data/tft") / scenario
    write_rows(folder / "drafts.parquet", DRAFTS, [draft_row(*result) for result in results])
    kept = enough(results, settings, scenario, folder)
    tests = read_conversations(Path("data/test/conversations.parquet"))
    refuse_copies(kept, tests, settings.validation.max_similarity_to_tests, scenario)
    write_conversations(folder / "train.parquet", kept)
    counts = {"seeds": len(seeds), "context": len(context)}
    write_json(folder / "summary.json", counts | summarize(results, kept) | models.usage())
    print(f"{scenario}: {len(kept)} of {len(results)} generated conversations are valid")


if __name__ == "__main__":
    main()
