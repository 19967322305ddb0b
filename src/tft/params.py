"""params.yaml, validated: a wrong key or value is one clear error before any work starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML, YAMLError

from tft.errors import InputError

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Unknown keys are errors: a misspelt key must not fall back to a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Sgd(Section):
    """Where Schema-Guided Dialogue is and what of it must be there."""

    archive: str
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    service: str
    other_services: list[str]
    sha256: dict[str, str]
    held_out: list[str]
    dropped: list[str]


class Published(Section):
    """Where the published benchmark's data are."""

    path: str


class Limit(Section):
    """Upper bounds for a quick try; null means all."""

    train: Count | None
    test: Count | None


class Baseline(Section):
    """S1: the traces as they are."""

    kind: Literal["baseline"]
    published: str


class NoisyLabels(Section):
    """S2: wrong tools, wrong arguments, wrong answers."""

    kind: Literal["noisy_labels"]
    published: str
    clean_fraction: Fraction
    corruption_rate: Fraction
    service_call: dict[Literal["swap_tool", "swap_params", "respond"], Fraction]
    respond: dict[Literal["service_call", "other_message"], Fraction]
    message_source: str

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> NoisyLabels:
        for key in ("service_call", "respond"):
            shares = getattr(self, key)
            if abs(sum(shares.values()) - 1) > 1e-6:
                raise ValueError(f"{key}: the shares must sum to 1, got {shares}")
        return self


class SchemaDrift(Section):
    """S3: traces from before and after renames of tools and parameters."""

    kind: Literal["schema_drift"]
    published: str
    other_source: str
    other_tools: dict[str, str]
    traces: Count
    clean_fraction: Fraction
    tools: dict[str, list[str]]
    parameters: dict[str, list[str]]


class LowData(Section):
    """S4: a handful of traces."""

    kind: Literal["low_data"]
    published: str
    traces: Count


class TraceMixing(Section):
    """S5: mostly another service's traces, renamed and shuffled."""

    kind: Literal["trace_mixing"]
    published: str
    traces: Count
    other_source: str
    other_tools: dict[str, str]


Scenario = Annotated[
    Baseline | NoisyLabels | SchemaDrift | LowData | TraceMixing, Field(discriminator="kind")
]


class Lora(Section):
    """Low-rank adaptation of all linear layers."""

    r: Count
    alpha: Annotated[float, Field(gt=0)]
    dropout: Fraction


class Training(Section):
    """One fine-tuning run."""

    epochs: Annotated[float, Field(gt=0)]
    batch_size: Count
    row_tokens: Count
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_fraction: Fraction
    weight_decay: Annotated[float, Field(ge=0)]
    eval_fraction: Annotated[float, Field(ge=0, lt=1)]
    bf16: bool
    seed: int


class Student(Section):
    """A base model and how it is fine-tuned."""

    base: str
    template: Literal["unified", "stock"]
    max_length: Count
    lora: Lora
    train: Training


class Pretrain(Section):
    """How the tiny base is made."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Predict(Section):
    """Who decodes, and how far."""

    backend: Literal["vllm", "transformers"]
    max_new_tokens: Count


class Judge(Section):
    """Who gives verdicts."""

    role: Literal["rules"]


class Report(Section):
    """What metrics/headline.json holds."""

    pipeline: str


class Params(Section):
    """The whole of params.yaml."""

    corpus: Literal["sgd", "published"]
    student: str
    seed: int
    pipelines: list[str]
    limit: Limit
    sgd: Sgd
    published: Published
    scenarios: dict[str, Scenario]
    students: dict[str, Student]
    pretrain: dict[str, Any]
    predict: Predict
    judge: Judge
    report: Report

    @model_validator(mode="after")
    def _names_resolve(self) -> Params:
        if self.student not in self.students:
            raise ValueError(
                f"student: {self.student!r} is none of students: {list(self.students)}"
            )
        if self.report.pipeline not in self.pipelines:
            raise ValueError(
                f"report.pipeline: {self.report.pipeline!r} is none of pipelines: {self.pipelines}"
            )
        return self

    def scenario(self, name: str) -> Scenario:
        """The scenario of that name.

        Raises:
            InputError: there is none.
        """
        if name not in self.scenarios:
            raise InputError(
                f"unknown scenario {name!r}; params.yaml has scenarios: {', '.join(self.scenarios)}"
            )
        return self.scenarios[name]


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and validate params.yaml.

    ruamel.yaml and not PyYAML: `dvc exp run -S x=1e-5` writes `1e-05`, which PyYAML, a YAML 1.1
    reader, takes for a string.

    Raises:
        InputError: names the file, the key, the value and what is allowed.
    """
    try:
        content = YAML(typ="safe").load(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; run from the repository's root") from error
    except YAMLError as error:
        raise InputError(f"{path}: not YAML ({error})") from error
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"])
            lines.append(f"{path}: {key}: {problem['msg']} (got {problem['input']!r:.80})")
        raise InputError("\n".join(lines)) from None


def environment(name: str, default: str) -> str:
    """An environment variable that overrides a param (places differ between machines)."""
    return os.environ.get(name) or default
