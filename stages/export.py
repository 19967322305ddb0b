"""Package the student of one cell: adapter, merged weights, and model card.

With several training seeds, the student of the first one is packaged.

Reads data/PIPELINE/SCENARIO/train.parquet, data/split/task.json, models/base, the student's adapter
and loss curve, data/scores/cells/SCENARIO-PIPELINE.json, and data/test/summary.json. Writes
models/students/SCENARIO-PIPELINE.

    python stages/export.py noisy_labels tft
"""

from pathlib import Path

from tft.config import Params, load_params
from tft.core.stage import stage
from tft.core.tables import read_conversations
from tft.core.task import read_task, write_task
from tft.export.card import write_student_card
from tft.export.takeaway import take_away
from tft.report.run import read_loss
from tft.report.table import read_metrics
from tft.traces.talk import TALK, without_talk


@stage(load_params)
def main(params: Params, scenario: str, pipeline: str) -> None:
    """See the module's docstring."""
    params.scenario(scenario)
    cell = f"{scenario}-{pipeline}"
    student = f"{cell}-{params.training_seeds[0]}"
    trained = read_task(Path("data/split/task.json"))
    task = without_talk(trained)
    adapter, output = Path("models/adapters") / student, Path("models/students") / cell
    talk = TALK if task != trained else None
    take_away(output, params.students[params.student], adapter, talk)
    write_task(output / "job_description.json", task)
    losses = {row["split"]: row["loss"] for row in read_loss(Path(f"reports/loss/{student}.csv"))}
    write_student_card(
        output,
        (scenario, pipeline),
        params.seeded(params.training_seeds[0]),
        params.corpus,
        params.scenario(scenario).kind,
        task,
        read_conversations(Path("data") / pipeline / scenario / "train.parquet"),
        losses,
        read_metrics(Path(f"data/scores/cells/{cell}.json"), "score"),
        labeled_by=read_metrics(Path("data/test/summary.json"), "label_test")["labeled_by"],
    )


if __name__ == "__main__":
    main()
