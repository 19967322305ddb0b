"""params.yaml, validated: a wrong key or value is one clear error before any work starts."""

from __future__ import annotations

import itertools
import os
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML, YAMLError

from tft.errors import InputError

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0, le=2)]  # what OpenAI and vLLM take
Names = Annotated[list[str], Field(min_length=1)]
MAX_SEED = 2**32 - 1  # numpy takes no larger one
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Doses = Annotated[list[int | float], Field(min_length=2)]
# No user, password or query: addresses are shown in errors.
ADDRESS = r"^https?://(\[[0-9a-fA-F:]+\]|[^\s@?#/:]+)(:\d{1,5})?(/[^\s@?#]*)?$"


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

    archive: str
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]


class Builtin(Section):
    """The simulated corpus."""

    seed: int
    today: date
    service: str
    counts: dict[str, Count]
    held_out: Count


class Redact(Section):
    """What is personal in your own traces and must not come out of the import."""

    entities: list[Literal["EMAIL", "PHONE", "CARD", "IBAN", "SSN", "KEY", "PERSON"]]
    regions: list[str]
    names: list[str]
    fields: dict[str, Annotated[str, Field(pattern="^[A-Z][A-Z_]*$")]]


class Traces(Section):
    """Where your own traces are, in which form, and which of them are taken."""

    path: str
    format: Literal["auto", "openai", "anthropic", "langfuse", "otel", "published"]
    max_refused: Fraction
    max_characters: Count
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    redact: Redact


class Limit(Section):
    """Upper bounds for a quick try; null means all."""

    train: Count | None
    test: Count | None


class Baseline(Section):
    """S1: the traces as they are."""

    kind: Literal["baseline"]
    published: str
    source: str


class NoisyLabels(Section):
    """S2: wrong tools, wrong arguments, wrong answers."""

    kind: Literal["noisy_labels"]
    published: str
    source: str
    message_source: str
    clean_fraction: Fraction
    corruption_rate: Fraction
    service_call: dict[Literal["swap_tool", "swap_params", "respond_instead"], Fraction]
    respond: dict[Literal["call_instead", "foreign_message"], Fraction]

    @field_validator("service_call", "respond")
    @classmethod
    def _shares_sum_to_one(cls, shares: dict[str, float]) -> dict[str, float]:
        if abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError("the shares must sum to 1")
        return shares


class SchemaDrift(Section):
    """S3: traces from versions of the agent whose tools had other names."""

    kind: Literal["schema_drift"]
    published: str
    source: str
    traces: Count
    clean_fraction: Fraction
    tools: dict[str, Names]
    parameters: dict[str, Names]
    other_source: str
    other_traces: Count
    other_tools: dict[str, str]

    @field_validator("tools", "parameters")
    @classmethod
    def _names_are_distinct(cls, names: dict[str, list[str]]) -> dict[str, list[str]]:
        # Two parameters of one call under one new name would lose a value.
        everything = [*names, *itertools.chain.from_iterable(names.values())]
        twice = {name for name in everything if everything.count(name) > 1}
        if twice:
            raise ValueError(f"a name may stand here only once, but {sorted(twice)} stand twice")
        return names


class LowData(Section):
    """S4: a handful of traces."""

    kind: Literal["low_data"]
    published: str
    source: str
    traces: Count


class TraceMixing(Section):
    """S5: mostly another service's traces, renamed and shuffled."""

    kind: Literal["trace_mixing"]
    published: str
    source: str
    traces: Count
    other_source: str
    other_traces: Count
    other_tools: dict[str, str]


class Own(Section):
    """Your own traces, as they are."""

    kind: Literal["own"]


Scenario = Annotated[
    Baseline | NoisyLabels | SchemaDrift | LowData | TraceMixing | Own, Field(discriminator="kind")
]


class Lora(Section):
    """Low-rank adaptation of all linear layers."""

    r: Annotated[int, Field(ge=1, le=512)]  # vLLM serves up to 512
    alpha: Annotated[float, Field(gt=0)]
    dropout: Fraction


class Recipe(Section):
    """How to fine-tune, whatever the seed."""

    epochs: Count
    row_tokens: Count
    accumulate: Count
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_fraction: Fraction
    weight_decay: Annotated[float, Field(ge=0)]
    eval_fraction: Annotated[float, Field(ge=0, lt=1)]
    bf16: bool


class Training(Recipe):
    """One fine-tuning run."""

    seed: Seed


class Profile(Section):
    """A base model and how it is fine-tuned, whatever the seed."""

    base: str
    template: Literal["unified", "stock"]
    max_length: Count
    lora: Lora
    train: Recipe

    def seeded(self, seed: int) -> Student:
        """The student that this seed makes of it."""
        train = Training(**{**dict(self.train), "seed": seed})
        return Student(**{**dict(self), "train": train})


class Student(Profile):
    """What one fine-tuning run makes of a base model."""

    train: Training


class Pretrain(Section):
    """How the tiny base is made."""

    start: str | None
    vocab_size: Count
    hidden_size: Count
    intermediate_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    num_key_value_heads: Count
    head_dim: Count
    max_position_embeddings: Count
    exclude: Names
    row_tokens: Count
    steps: Count
    copy_steps: Annotated[int, Field(ge=0)]
    copy_share: Fraction
    # Spans of up to 10 tokens are copied from a sequence's first third on.
    copy_lengths: Annotated[list[Annotated[int, Field(ge=33)]], Field(min_length=2, max_length=2)]
    invented_share: Fraction
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_fraction: Fraction
    weight_decay: Annotated[float, Field(ge=0)]
    save_steps: Count
    bf16: bool
    seed: int


class Threshold(Section):
    """The least relevance and coherence, each 1 to 5, that a trace needs to be kept."""

    min_relevance: Annotated[int, Field(ge=1, le=5)]
    min_coherence: Annotated[int, Field(ge=1, le=5)]


class Filter(Section):
    """Who scores traces, and what each scenario keeps."""

    role: Literal["rules", "llm"]
    model: str
    max_tokens: Count
    thresholds: dict[str, Threshold]


class Relabel(Section):
    """Who labels traces anew: the committee, and the arbiter where its members disagree."""

    role: Literal["rules", "llm"]
    committee: Names
    arbiter: str
    temperature: Temperature
    max_tokens: Count


class Validation(Section):
    """What a generated conversation must keep to."""

    max_characters: Count
    max_similarity_to_seeds: Fraction
    max_similarity_among: Fraction
    max_similarity_to_tests: Fraction


class Synthesize(Section):
    """Who generates conversations, from what, and how many."""

    role: Literal["rules", "llm"]
    model: str
    temperature: Temperature
    max_tokens: Count
    seeds: dict[str, Count]
    exemplars: Count
    context: Annotated[int, Field(ge=0)]
    target: Count
    batch: Count
    rounds: Count
    mutations: dict[str, Names]
    validation: Validation


class Teacher(Section):
    """Who answers held-out turns as the students' teacher, and how well it must to have any."""

    role: Literal["none", "llm"]
    model: str
    max_tokens: Count
    min_score: Fraction
    train_anyway: bool


class Contamination(Section):
    """How alike a training and a test conversation may be."""

    max_similarity: Fraction
    max_similarity_without_calls: Fraction


class Predict(Section):
    """Who decodes, and how far."""

    backend: Literal["vllm", "transformers"]
    max_new_tokens: Count


class Judge(Section):
    """Who gives verdicts, and the day that a benchmark takes place (see `Params.today`)."""

    role: Literal["rules", "llm"]
    models: Names
    max_tokens: Count
    today: date | None


class Robustness(Section):
    """Which of SGD-X's rewordings of the tools students are shown."""

    variants: list[Literal["v1", "v2", "v3", "v4", "v5"]]

    @field_validator("variants")
    @classmethod
    def _each_once(cls, variants: list[str]) -> list[str]:
        if len({*variants}) < len(variants):
            raise ValueError("a variant stands here twice")
        return variants


class Report(Section):
    """What metrics/headline.json holds."""

    pipeline: str


class Price(Section):
    """What a million tokens cost."""

    input: Amount
    output: Amount


class LlmModel(Section):
    """A language model and where it answers."""

    backend: Literal["openai", "vllm"]
    model: Annotated[str, Field(min_length=1)]
    base_url: Annotated[str, Field(pattern=ADDRESS)] | None = None
    key_variable: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    requests_at_once: Count
    requests_per_minute: Annotated[float, Field(gt=0)] | None = None
    price: Price | None = None
    options: dict[str, Any] = {}

    @field_validator("price")
    @classmethod
    def _nobody_bills_for_this_process(
        cls, price: Price | None, info: ValidationInfo
    ) -> Price | None:
        if price is not None and info.data.get("backend") == "vllm":
            raise ValueError("what answers in this process (backend: vllm) costs nobody; null it")
        return price


class Llm(Section):
    """The language models that roles may name, and how patiently and for how much to ask them."""

    models: dict[str, LlmModel]
    attempts: Count
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    budget: Amount | None


class Params(Section):
    """The whole of params.yaml."""

    corpus: Literal["builtin", "sgd", "published", "traces"]
    student: str
    seed: int
    seeds: Annotated[list[Seed], Field(min_length=1)]
    run: Names
    pipelines: list[str]
    limit: Limit
    sgd: Sgd
    published: Published
    builtin: Builtin
    traces: Traces
    defined: Annotated[dict[str, Scenario], Field(alias="scenarios")]
    students: dict[str, Profile]
    filter: Filter
    relabel: Relabel
    synthesize: Synthesize
    teacher: Teacher
    contamination: Contamination
    pretrain: Pretrain
    predict: Predict
    judge: Judge
    robustness: Robustness
    sweep: dict[str, Annotated[dict[str, Doses], Field(min_length=1)]]
    report: Report
    llm: Llm

    @field_validator("seeds")
    @classmethod
    def _seeds_are_distinct(cls, seeds: list[int]) -> list[int]:
        if twice := {seed for seed in seeds if seeds.count(seed) > 1}:
            raise ValueError(f"{min(twice)} stands twice; the same seed gives the same student")
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
                own = [key for key, one in self.defined.items() if one.kind == "own"]
                raise ValueError(
                    f"run: {name!r} with corpus: {self.corpus}; your own traces (corpus: traces) "
                    f"and the scenario {', '.join(own)} belong together, as in -S corpus=traces "
                    "-S 'run=[own]'"
                )
        for key, given in (
            ("filter.thresholds", self.filter.thresholds),
            ("synthesize.seeds", self.synthesize.seeds),
        ):
            if missing := self.scenarios.keys() - given.keys():
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

    @model_validator(mode="after")
    def _what_goes_beyond_the_benchmark_fits_it(self) -> Params:
        if self.robustness.variants and self.corpus != "sgd":
            raise ValueError(
                f"robustness.variants: with corpus: {self.corpus}; SGD-X rewords SGD's tools only, "
                "so leave the list empty"
            )
        for name, swept in self.sweep.items():
            if name not in self.defined:
                raise ValueError(f"sweep: {name!r} is none of scenarios: {list(self.defined)}")
            if len({len(doses) for doses in swept.values()}) > 1:
                raise ValueError(f"sweep.{name}: the params' lists are not of one length")
        return self

    @property
    def scenarios(self) -> dict[str, Scenario]:
        """The scenarios that run, in the order of `run`."""
        return {name: self.defined[name] for name in self.run}

    @property
    def today(self) -> date | None:
        """When conversations take place; null, as of own traces: on each one's earliest date."""
        return None if self.corpus == "traces" else self.judge.today

    def scenario(self, name: str) -> Scenario:
        """The scenario of that name, if it runs.

        Raises:
            InputError: there is none.
        """
        if name not in self.scenarios:
            raise InputError(f"unknown scenario {name!r}; params.yaml runs: {', '.join(self.run)}")
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
            parts = list(problem["loc"])
            if parts[:1] == ["scenarios"]:
                del parts[2:3]  # pydantic puts the kind of scenario, no key of the file, there
            line = f"{path}: {'.'.join(map(str, parts)) or 'as a whole'}: {problem['msg']}"
            # What is wrong with the whole is told by the message; all of it would bury that. And
            # what stands in place of a variable's name may be the key itself.
            told = parts and parts[-1] != "key_variable"
            lines.append(line + (f" (got {problem['input']!r:.80})" if told else ""))
        raise InputError("\n".join(lines)) from None


def environment(name: str, default: str) -> str:
    """An environment variable that overrides a param (places differ between machines)."""
    return os.environ.get(name) or default
