"""params.yaml: the rooms' sections composed and cross-checked before any work starts."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from tft.core.config import Names, Seed, read_config
from tft.core.errors import InputError
from tft.core.records import Layout
from tft.corpus.config import CorpusParams
from tft.evaluation.config import AuditConfig
from tft.filter.config import FilterConfig
from tft.judge.config import JudgeConfig
from tft.llm.config import LlmConfig
from tft.predict.config import PredictConfig, TeacherConfig
from tft.relabel.config import RelabelConfig
from tft.report.config import ReportConfig
from tft.scenarios.config import Scenario
from tft.student.config import SeededStudentConfig, StudentConfig
from tft.synthesize.config import SynthesizeConfig


class Params(CorpusParams):
    """The complete params.yaml."""

    student: str
    training_seeds: Annotated[list[Seed], Field(min_length=1)]
    run: Names
    pipelines: list[str]
    defined: Annotated[dict[str, Scenario], Field(alias="scenarios")]
    students: dict[str, StudentConfig]
    filter: FilterConfig
    relabel: RelabelConfig
    synthesize: SynthesizeConfig
    teacher: TeacherConfig
    audit: AuditConfig
    predict: PredictConfig
    judge: JudgeConfig
    report: ReportConfig
    llm: LlmConfig

    @field_validator("training_seeds")
    @classmethod
    def _seeds_are_distinct(cls, seeds: list[int]) -> list[int]:
        if repeated := {seed for seed in seeds if seeds.count(seed) > 1}:
            raise ValueError(f"{min(repeated)} is repeated; equal seeds give equal students")
        return seeds

    @model_validator(mode="after")
    def _names_resolve(self) -> Params:
        if self.student not in self.students:
            raise ValueError(
                f"student: {self.student!r} is none of students: {list(self.students)}"
            )
        for name in self.run:
            if name not in self.defined:
                raise ValueError(f"run: {name!r} is none of scenarios: {list(self.defined)}")
            if (self.defined[name].kind == "own") != (self.corpus == "traces"):
                own = [key for key, value in self.defined.items() if value.kind == "own"]
                raise ValueError(
                    f"run: {name!r} with corpus: {self.corpus}; your own traces (corpus: traces) "
                    f"and the scenario {', '.join(own)} belong together, as in -S corpus=traces "
                    "-S 'run=[own]'"
                )
        for key, by_scenario in (
            ("filter.thresholds", self.filter.thresholds),
            ("synthesize.seed_conversations", self.synthesize.seed_conversations),
        ):
            if missing := self.scenarios.keys() - by_scenario.keys():
                raise ValueError(f"{key}: lacks the scenario {min(missing)!r}")
        for key, model in (
            ("filter.model", self.filter.model),
            *(("relabel.committee", member) for member in self.relabel.committee),
            ("relabel.arbiter", self.relabel.arbiter),
            ("synthesize.model", self.synthesize.model),
            ("teacher.model", self.teacher.model),
            *(("judge.models", member) for member in self.judge.models),
        ):
            if model not in self.llm.models:
                raise ValueError(f"{key}: {model!r} is none of llm.models: {list(self.llm.models)}")
        if self.report.pipeline not in self.pipelines:
            raise ValueError(
                f"report.pipeline: {self.report.pipeline!r} is none of pipelines: {self.pipelines}"
            )
        return self

    @property
    def scenarios(self) -> dict[str, Scenario]:
        """The scenarios that run, in the order of `run`."""
        return {name: self.defined[name] for name in self.run}

    @property
    def today(self) -> date | None:
        """The date of a benchmark's conversations, or None for your own traces."""
        return None if self.corpus == "traces" else self.judge.today

    def scenario(self, name: str) -> Scenario:
        """The scenario `name`.

        Raises:
            InputError: no scenario of this name runs.
        """
        if name not in self.scenarios:
            raise InputError(f"unknown scenario {name!r}; params.yaml runs: {', '.join(self.run)}")
        return self.scenarios[name]

    @property
    def layout(self) -> Layout:
        """What this run consists of."""
        return Layout(
            self.corpus,
            self.student,
            list(self.scenarios),
            self.pipelines,
            self.training_seeds,
            self.teacher.role == "llm",
        )

    def seeded(self, seed: int) -> SeededStudentConfig:
        """The chosen student with this training seed."""
        return self.students[self.student].seeded(seed)


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and validate params.yaml.

    Raises:
        InputError: names the file, the key, the value, and what is allowed.
    """
    return read_config(path, Params)
