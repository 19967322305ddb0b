"""How far the rules judge agrees with the published LLM judge's verdicts.

Reads: a folder with the published job_description.json and judged/*.jsonl
Run:   python benchmarks/judge_agreement.py ../shared/data/published [--show]
"""

from datetime import date
from pathlib import Path

import click
from tabulate import tabulate

from tft.evaluation.judged import agreement, read_judged
from tft.rules.judge import JUDGE_VERSION, judge
from tft.task import RESPOND, read_task

# The day on which Schema-Guided Dialogue's conversations take place.
TODAY = date(2019, 3, 1)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--show", is_flag=True, help="Also print every turn on which the two disagree.")
def main(folder: Path, show: bool) -> None:
    task = read_task(folder / "job_description.json")
    groups, judged = {}, []
    for path in sorted((folder / "judged").glob("*.jsonl")):
        rows = read_judged(path)
        verdicts = judge([row.turn for row in rows], task, TODAY)
        groups[path.stem] = list(zip(rows, verdicts, strict=True))
        judged += groups[path.stem]
    groups["all"] = judged
    groups["all messages"] = [pair for pair in judged if pair[0].turn.reference.name == RESPOND]
    groups["all service calls"] = [
        pair for pair in judged if pair[0].turn.reference.name != RESPOND
    ]
    lines = []
    for name, pairs in groups.items():
        theirs = [row.scores["llm-as-a-judge"] == 1 for row, _ in pairs]
        result = agreement(theirs, [verdict.good for _, verdict in pairs])
        lines.append([name, len(pairs), f"{result.raw:.3f}", f"{result.kappa:.3f}", *result])
    # What a judge that looks at nothing but the function's name would reach.
    theirs = [row.scores["llm-as-a-judge"] == 1 for row, _ in judged]
    names = [getattr(row.turn.prediction, "name", None) == row.turn.reference.name
             for row, _ in judged]  # fmt: skip
    result = agreement(theirs, names)
    lines.append(
        ["all, by name alone", len(judged), f"{result.raw:.3f}", f"{result.kappa:.3f}", *result]
    )
    head = ["turns", "n", "agreement", "kappa", "both good", "only theirs", "only ours", "both bad"]
    print(f"rules judge v{JUDGE_VERSION} against the published verdicts")
    print(tabulate(lines, head, disable_numparse=True))
    for row, verdict in judged if show else ():
        if (row.scores["llm-as-a-judge"] == 1) != verdict.good:
            print(f"\n{row.turn.conversation}:{row.turn.index + 1} ours: {verdict}")
            print(f"  reference:  {row.turn.reference}\n  prediction: {row.turn.prediction}")


if __name__ == "__main__":
    main()
