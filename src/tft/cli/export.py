"""`tft export`: write a student's training conversations as a data set."""

from pathlib import Path

import click

from tft.config import Params, load_params
from tft.core.errors import InputError
from tft.core.tables import read_conversations
from tft.core.task import read_task


@click.command("export")
@click.argument("student")
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write: empty, or an earlier export.",
)
@click.option("--push", "repo_id", help="Also upload to this data set on the Hub, USER/NAME.")
def export_command(student: str, folder: Path, repo_id: str | None) -> None:
    """Write a student's training conversations as a Hugging Face data set.

    STUDENT is SCENARIO-PIPELINE, such as noisy_labels-tft. Reads data/PIPELINE/SCENARIO and
    data/split/task.json.
    """
    from tft.export.dataset import CardValues, export_dataset, push  # noqa: PLC0415 (slow to import)

    params = load_params()
    scenario, _, pipeline = student.rpartition("-")
    if scenario not in params.scenarios or pipeline not in params.pipelines:
        raise InputError(
            f"no student {student!r}; it is SCENARIO-PIPELINE, of {', '.join(params.run)} and "
            f"{', '.join(params.pipelines)}"
        )
    values = CardValues(
        corpus=params.corpus,
        scenario=scenario,
        kind=params.scenario(scenario).kind,
        pipeline=pipeline,
        made_by=_made_by(params),
        repo_id=repo_id,
    )
    conversations = read_conversations(Path("data") / pipeline / scenario / "train.parquet")
    export_dataset(conversations, read_task(Path("data/split/task.json")), values, folder)
    click.echo(f"{folder}: {len(conversations):,} conversations")
    if repo_id:
        click.echo(push(folder, repo_id))


def _made_by(params: Params) -> dict[str, str]:
    committee = f"{', '.join(params.relabel.committee)}, arbiter {params.relabel.arbiter}"
    return {
        "filter": "rules" if params.filter.role == "rules" else params.filter.model,
        "relabel": "rules" if params.relabel.role == "rules" else committee,
        "synthesize": "rules" if params.synthesize.role == "rules" else params.synthesize.model,
    }
