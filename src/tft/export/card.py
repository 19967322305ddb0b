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

# What SGD's license covers: the tiny base, which was trained on it, and two of the corpora.
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

    `merged` gets a copy: whoever publishes the weights alone publishes where they come from.

    Args:
        folder: of the student, with `merged` and `adapter` in it.
        cell: (scenario, pipeline).
        student: its settings, those of the cell's first training seed.
        corpus: name of the corpus.
        kind: kind of the scenario.
        task: as a client knows it; without `respond_to_user` the student answers in plain text.
        conversations: what it was trained on, those for evaluation included.
        losses: {split: last loss in nats per target token, mean over rows}.
        metrics: of the cell, see `evaluation.summary`. With several training seeds the student is
            the first's, and so are the scores on its card.
        labeled_by: who labeled the test conversations: the corpus or a machine.
    """
    scenario, pipeline = cell
    name = f"{scenario}-{pipeline}"
    base_is_local = Path(student.base).is_dir()
    own, others = metrics, metrics.get("students", {})
    if others:  # judge_corrected corrects the mean over seeds, so this student has none
        own = {**metrics, **others[f"{name}-{student.train.seed}"], "judge_corrected": None}
    scores = [score for score in own["intervals"] if own[score] is not None]
    license_ = SGD_LICENSE if OF_SGD & {student.base, corpus} else None
    plain_text = not task.tool(RESPOND)
    card = ModelCard.from_template(
        ModelCardData(
            license=license_,
            library_name="transformers",
            pipeline_tag="text-generation",
            base_model=None if base_is_local else student.base,  # the Hub takes only its own ids
            model_name=name,
            tags=["tool-use", "lora"],
            eval_results=[
                EvalResult(
                    task_type="text-generation",
                    dataset_type=corpus,
                    dataset_name=f"held-out turns of corpus {corpus}",
                    metric_type=score,
                    metric_name=f"{score} ({own['judged_by']})" if "judge" in score else score,
                    metric_value=own[score],
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
        metrics=own,
        scores=scores,
        judge_measured=own.get("judge_measured"),
        labeled_by=labeled_by,
        labeled_by_machine=labeled_by.startswith("machine"),
        students=len(others),
        judge_mean=metrics["judge"],
        judge_spread=metrics["spread"]["judge"] if others else None,
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
    """How to start vLLM's server in the student's folder, wrapped for the shell."""
    variables = " ".join(f"{key}={value}" for key, value in ENVIRONMENT.items())
    command = shlex.join(["python", *server_arguments(name, Path(), plain_text)])
    lines = wrap(f"{variables} {command}", 96, break_long_words=False, break_on_hyphens=False)
    return " \\\n    ".join(lines)
