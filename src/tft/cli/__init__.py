"""The command `tft`: run the pipeline, explain its rows, and use its students."""

import sys
from pathlib import Path

import click

from tft.cli.chat import bound, chat, completer, simulated, typed
from tft.cli.explain import explain
from tft.cli.export import export_command
from tft.cli.result import result_command
from tft.cli.run import run_pipeline
from tft.cli.serve import serve, student_folder
from tft.config import load_params
from tft.core.config import environment
from tft.core.task import read_task

STUDENTS = Path("models/students")


@click.group("tft")
def main() -> None:
    """Run the pipeline, explain its rows, and use its students; from the repository's root."""


@main.command("run")
def run() -> None:
    """Run `dvc repro`, showing its progress and the time left."""
    sys.exit(run_pipeline())


@main.command("explain")
@click.argument("row")
def explain_row(row: str) -> None:
    """Explain where a row comes from, what each step decided about it, and why.

    ROW is PIPELINE/SCENARIO/ID, as in the data folder: tft/noisy_labels/tft-00012. Rows that a step
    rejected are explained too.
    """
    click.echo(explain(row, load_params(), Path("data")))


@main.command("serve")
@click.argument("student")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
def serve_student(student: str, host: str, port: int) -> None:
    """Serve a packaged student with vLLM's OpenAI server.

    STUDENT is SCENARIO-PIPELINE, as in models/students.
    """
    serve(student_folder(student, STUDENTS), host, port)


@main.command("chat")
@click.argument("student")
@click.option("--url", default="http://127.0.0.1:8000/v1", show_default=True)
@click.option(
    "--functions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A Python file with a function for each tool. Without it, tools are simulated.",
)
def chat_with(student: str, url: str, functions: Path | None) -> None:
    """Talk to a served student in the terminal.

    STUDENT is SCENARIO-PIPELINE, as in models/students. Ctrl-D ends the conversation.
    """
    folder = student_folder(student, STUDENTS)
    task = read_task(folder / "job_description.json")
    complete = completer(url, folder.name, task, environment("OPENAI_API_KEY", "none"))
    available = bound(functions, task) if functions else simulated(task)
    chat(complete, task, available, typed(), lambda text: click.echo(f"agent> {text}"))


main.add_command(export_command)
main.add_command(result_command)
