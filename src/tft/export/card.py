"""Model cards: what a model was made from, how well it does, and how to use it.

The text is in student_card.md.jinja; this module computes the values.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from tft.core.conversation import Conversation
from tft.core.tables import write_text
from tft.core.task import RESPOND, Task
from tft.export.server import ENVIRONMENT, server_arguments
from tft.student.config import SeededStudentConfig

TEMPLATE = Path(__file__).with_name("student_card.md.jinja")

# SGD's license covers the tiny base, which was trained on it, and two of the corpora.
OF_SGD = {"models/base", "sgd", "published"}
SGD_LICENSE = "cc-by-sa-4.0"


def write_student_card(
    folder: Path,
    cell: tuple[str, str],
    student: SeededStudentConfig,
    corpus: str,
    kind: str,
    task: Task,
    conversations: Sequence[Conversation],
    losses: Mapping[str, float],
    metrics: Mapping[str, Any],
    labeled_by: str,
) -> None:
    """Write a fine-tuned student's README.md with the numbers of its own run.

    `merged` gets a copy, so that the weights alone also say where they come from.

    Args:
        folder: The student's folder, which contains `merged` and `adapter`.
        cell: (scenario, pipeline).
        student: The student's settings, with the cell's first training seed.
        corpus: The name of the corpus.
        kind: The kind of the scenario.
        task: The task as clients know it. Without `respond_to_user` the student answers in plain
            text.
        conversations: The training conversations, including those set aside for evaluation.
        losses: {split: last loss in nats per target token, averaged over rows}.
        metrics: The metrics of the cell, see `evaluation.summary`. With several training seeds the
            card shows the scores of the first seed's student.
        labeled_by: Who labeled the test conversations: the corpus or a machine.
    """
    scenario, pipeline = cell
    name = f"{scenario}-{pipeline}"
    base_is_local = Path(student.base).is_dir()
    scored, students = metrics, metrics.get("students", {})
    if students:  # judge_corrected corrects the mean over seeds, so this student has no value
        scored = {**metrics, **students[f"{name}-{student.train.seed}"], "judge_corrected": None}
    scores = [score for score in scored["intervals"] if scored[score] is not None]
    license_ = SGD_LICENSE if OF_SGD & {student.base, corpus} else None
    plain_text = not task.tool(RESPOND)
    card = ModelCard.from_template(
        ModelCardData(
            license=license_,
            library_name="transformers",
            pipeline_tag="text-generation",
            base_model=None if base_is_local else student.base,  # must be an id of the Hub
            model_name=name,
            tags=["tool-use", "lora"],
            eval_results=[
                EvalResult(
                    task_type="text-generation",
                    dataset_type=corpus,
                    dataset_name=f"held-out turns of corpus {corpus}",
                    metric_type=score,
                    metric_name=f"{score} ({scored['judged_by']})" if "judge" in score else score,
                    metric_value=scored[score],
                )
                for score in scores
            ],
        ),
        str(TEMPLATE),
        name=name,
        base=student.base,
        base_is_local=base_is_local,
        scenario=scenario,
        kind=kind,
        corpus=corpus,
        pipeline=pipeline,
        conversations=len(conversations),
        turns=sum(len(list(conversation.turns())) for conversation in conversations),
        losses=losses,
        template=student.template,
        settings={**student.train.model_dump(), **student.lora.model_dump()},
        metrics=scored,
        scores=scores,
        judge_measured=scored.get("judge_measured"),
        labeled_by=labeled_by,
        labeled_by_machine=labeled_by.startswith("machine"),
        students=len(students),
        judge_mean=metrics["judge"],
        judge_spread=metrics["spread"]["judge"] if students else None,
        tools=task.tools,
        task_description=task.description,
        plain_text=plain_text,
        talk=RESPOND,
        serve_command=_serve_command(name, plain_text),
        license=license_,
    )
    for place in (folder, folder / "merged"):
        write_text(place / "README.md", f"{card.content.rstrip()}\n")


def _serve_command(name: str, plain_text: bool) -> str:
    """The command that starts vLLM's server in the student's folder, wrapped for the shell."""
    variables = " ".join(f"{key}={value}" for key, value in ENVIRONMENT.items())
    command = shlex.join(["python", *server_arguments(name, Path(), plain_text)])
    lines = wrap(f"{variables} {command}", 96, break_long_words=False, break_on_hyphens=False)
    return " \\\n    ".join(lines)
