"""Measure how often the judge agrees with the published verdicts of a large language model.

Reads the published judged predictions and their task (`published` in params.yaml, or
TFT_PUBLISHED). Writes experiments/judge_agreement/measured/judge.json, and prints every turn on
which the two judges disagree. `make judge-agreement` copies the file to
experiments/judge_agreement/judge.json, with which the stage `score` corrects scores.

    python -m experiments.judge_agreement.run
"""

from pathlib import Path

from experiments.judge_agreement.judged import JUDGED_FILE, measure, parse_judged
from tft.config import Params, load_params
from tft.core.config import environment
from tft.core.errors import InputError
from tft.core.stage import stage
from tft.core.tables import write_json
from tft.core.task import parse_task
from tft.corpus.archive import read_files
from tft.corpus.published import HINT
from tft.evaluation.agreement import judges_agreement
from tft.judge.choose import choose
from tft.llm import connect

OUTPUT = Path("experiments/judge_agreement/measured/judge.json")


@stage(load_params)
def main(params: Params) -> None:
    """See the module's docstring."""
    models = connect(params.llm)
    judge, judged_by = choose(params.judge, models, "judge_agreement", params.judge.today)
    archive = environment("TFT_PUBLISHED", params.published.archive)
    rows, task = [], None

    def wanted(name: str) -> bool:
        return name.endswith("job_description.json") or bool(JUDGED_FILE.fullmatch(name))

    for name, content in read_files(archive, wanted, params.published.commit, HINT):
        if name.endswith(".json"):
            task = task or parse_task(f"{archive}: {name}", content)
        else:
            rows += parse_judged(f"{archive}: {name}", content)
    if task is None or not rows:
        raise InputError(
            f"{archive}: expected job_description.json and judged predictions "
            f"(judged/*.jsonl or *-predictions*.jsonl); {HINT}"
        )
    verdicts = judge([row.turn for row in rows], task)
    results = measure(rows, verdicts)
    summary = {name: result.summary() for name, result in results.items()}
    write_json(
        OUTPUT,
        {
            "judged_by": judged_by,
            "no_verdict": sum(verdict.good is None for verdict in verdicts),
            **summary.pop("all"),
            **summary,
            "judges": judges_agreement(verdicts),
            **models.usage(),
        },
    )
    print(f"{judged_by} against {len(rows)} published verdicts")
    for name, result in results.items():
        print(
            f"{name}: n {sum(result)}, agreement {result.raw:.3f}, kappa {result.kappa:.3f}, "
            f"AC1 {result.ac1:.3f}"
        )
    for row, verdict in zip(rows, verdicts, strict=True):
        if verdict.good not in (row.good, None):
            print(f"\n{row.turn.conversation}:{row.turn.index + 1} ours: {verdict}")
            print(f"  reference:  {row.turn.reference}\n  prediction: {row.turn.prediction}")


if __name__ == "__main__":
    main()
