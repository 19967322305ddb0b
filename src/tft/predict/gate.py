"""The gate before training: whether a teacher answers well enough to be learned from."""

import json
from pathlib import Path
from typing import Any

import click

from tft.core.errors import InputError
from tft.predict.config import TeacherConfig

TAUGHT = "tft"
"""The pipeline whose conversations a teacher wrote. Those of the other pipelines were logged."""


def check_teacher(path: Path, settings: TeacherConfig, pipeline: str) -> None:
    """Refuse to train a student whose teacher scores too low.

    Args:
        path: The summary that the stage `teacher` writes. Without a language model as teacher every
            student may be trained.
        settings: The teacher's minimum score, and whether to train below it.
        pipeline: The pipeline of the student.

    Raises:
        InputError: the teacher of this student scores below the minimum, or the file is missing.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dvc repro teacher` makes it")
    teacher: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if pipeline != TAUGHT or teacher["role"] == "none" or teacher["judge"] >= settings.min_score:
        return
    finding = (
        f"{path}: the teacher {teacher['model']!r} itself scores {teacher['judge']:.3f} on the "
        f"held-out turns, less than teacher.min_score in params.yaml, {settings.min_score}"
    )
    if not settings.train_anyway:
        raise InputError(
            f"{finding}; students would learn its mistakes. data/teacher holds its answers and why "
            "they are bad. Improve the task description, use another teacher (teacher.model and "
            "synthesize.model), lower teacher.min_score, or set teacher.train_anyway: true"
        )
    click.echo(f"{finding}; training anyway, because teacher.train_anyway is true")
