"""Whether a teacher answers well enough to be learnt from."""

import json
from pathlib import Path
from typing import Any

import click

from tft.core.errors import InputError
from tft.predict.config import TeacherConfig

TAUGHT = "tft"
"""The pipeline whose conversations a teacher wrote; the others' are logged."""


def check_teacher(path: Path, settings: TeacherConfig, pipeline: str) -> None:
    """Let a student be trained on a pipeline, or refuse to.

    Args:
        path: data/teacher/summary.json, by the stage `teacher`; no LLM teacher, no condition.
        settings: the least score, and whether to train all the same.
        pipeline: of the student.

    Raises:
        InputError: a student of a teacher that scores below the least score; or no such file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dvc repro teacher` makes it")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if pipeline != TAUGHT or found["role"] == "none" or found["judge"] >= settings.min_score:
        return
    told = (
        f"{path}: the teacher {found['model']!r} itself scores {found['judge']:.3f} on the "
        f"held-out turns, less than params.yaml's teacher.min_score {settings.min_score}"
    )
    if not settings.train_anyway:
        raise InputError(
            f"{told}; students would learn its mistakes. data/teacher holds its answers and why "
            "they are bad. Mend the task's description, take another teacher (teacher.model and "
            "synthesize.model), lower teacher.min_score, or set teacher.train_anyway: true"
        )
    click.echo(f"{told}; trained all the same, as teacher.train_anyway says")
