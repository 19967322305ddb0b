import copy
import re
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fixtures.repository import ROOT
from ruamel.yaml import YAML

from tft.config import load_params
from tft.core.config import environment
from tft.core.errors import InputError


def load_changed(shipped: dict[str, Any], folder: Path, key: str, value: Any) -> None:
    """Load the shipped params with one key changed (path with dots)."""
    content = copy.deepcopy(shipped)
    *path, last = key.split(".")
    place = content
    for part in path:
        place = place[part]
    place[last] = value
    text = StringIO()
    YAML().dump(content, text)
    (folder / "params.yaml").write_text(text.getvalue())
    load_params(folder / "params.yaml")


def test_the_shipped_params_are_valid() -> None:
    params = load_params(ROOT / "params.yaml")
    kinds = {name: scenario.kind for name, scenario in params.defined.items()}
    assert kinds == {name: name for name in kinds}
    assert params.run == list(params.scenarios) == [name for name in kinds if name != "own"]


def test_a_seeded_student_differs_from_its_config_only_in_the_seed() -> None:
    """The key of a training in TFT_CACHE holds its representation, which must not change."""
    student = load_params(ROOT / "params.yaml").students["tiny"]
    shown = f"{student!r}".replace("StudentConfig(", "SeededStudentConfig(")
    shown = shown.replace("TrainConfig(", "SeededTrainConfig(")
    assert f"{student.seeded(7)!r}" == shown.replace("bf16=True)", "bf16=True, seed=7)")


def test_clean_fractions_give_the_published_counts() -> None:
    scenarios = load_params(ROOT / "params.yaml").model_dump()["defined"]
    assert round(scenarios["noisy_labels"]["clean_fraction"] * 327) == 33
    assert round(scenarios["schema_drift"]["clean_fraction"] * 146) == 14


@pytest.mark.parametrize("rate", [-0.1, 1.5, "half", None, ".nan", [0.5]])
@pytest.mark.parametrize(
    "key",
    [
        "scenarios.noisy_labels.corruption_rate",
        "scenarios.noisy_labels.clean_fraction",
        "scenarios.schema_drift.clean_fraction",
        "scenarios.noisy_labels.respond.call_instead",
    ],
)
def test_an_error_about_a_rate_names_its_key(
    shipped: dict[str, Any], tmp_path: Path, key: str, rate: Any
) -> None:
    with pytest.raises(InputError) as caught:
        load_changed(shipped, tmp_path, key, float("nan") if rate == ".nan" else rate)
    assert f"params.yaml: {key}: " in caught.value.message
    assert f"got {rate!r}" in caught.value.message or rate == ".nan"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scenarios.low_data.traces", 0, "scenarios.low_data.traces: .*greater than or equal to 1"),
        ("scenarios.low_data.traces", 2.5, "scenarios.low_data.traces: .*integer"),
        ("teacher.role", "rules", "teacher.role: .*'none' or 'llm'"),
        ("teacher.model", "nobody", "teacher.model: 'nobody' is none of llm.models"),
        ("teacher.min_score", 70, "teacher.min_score: .*less than or equal to 1"),
        ("relabel.temperature", 3, "relabel.temperature: .*less than or equal to 2"),
        ("scenarios.low_data.trace", 5, "scenarios.low_data.trace: Extra inputs"),
        ("scenarios.low_data.kind", "few", "scenarios.low_data: .*'baseline'"),
        ("scenarios.noisy_labels.service_call.swap_tool", 0.9,
         "noisy_labels.service_call: .*sum to 1"),
        ("scenarios.noisy_labels.service_call", {"swap": 1.0}, "noisy_labels.service_call.swap"),
        ("scenarios.schema_drift.parameters.date", ["when", "hour"],
         r"schema_drift.parameters: .*only once, but \['hour'\]"),
        ("scenarios.schema_drift.parameters.date", [], "parameters.date: .*at least 1"),
        ("sgd.commit", "e852981", "sgd.commit: .*match pattern"),
        ("corpus", "other", "corpus: .*'sgd'.*'published'"),
        ("corpus", "traces", r"run: 'baseline' with corpus: traces; .*'run=\[own\]'"),
        ("run", ["low_data", "own"], r"run: 'own' with corpus: builtin"),
        ("run", ["few"], "run: 'few' is none of scenarios"),
        ("run", [], "run: .*at least 1"),
        ("traces.format", "csv", "traces.format: .*'openai'"),
        ("traces.test_fraction", 1, "traces.test_fraction: .*less than 1"),
        ("training_seeds", [], "training_seeds: .*at least 1"),
        ("training_seeds", [1, 2, 1], "training_seeds: .*1 stands twice"),
        ("training_seeds", [-1], "training_seeds.0: .*greater than or equal to 0"),
        ("training_seeds", 123, "training_seeds: .*valid list"),
        ("students.tiny.train.seed", 123, "students.tiny.train.seed: Extra inputs"),
        ("student", "huge", "student: 'huge' is none of students"),
        ("report.pipeline", "tft2", "report.pipeline: 'tft2' is none of pipelines"),
        ("judge.role", "human", "judge.role: .*'rules' or 'llm'"),
        ("judge.models", [], "judge.models: .*at least 1"),
        ("judge.models", ["gpt-4"], "judge.models: 'gpt-4' is none of llm.models"),
        ("llm.attempts", 0, "llm.attempts: .*greater than or equal to 1"),
        ("llm.timeout_seconds", 0, "llm.timeout_seconds: .*greater than 0"),
        ("llm.budget", -1, "llm.budget: .*greater than or equal to 0"),
        ("llm.budget", float("nan"), "llm.budget: "),
        ("llm.models.glm-5.backend", "bedrock", "models.glm-5.backend: .*'openai' or 'vllm'"),
        ("llm.models.glm-5.model", "", "models.glm-5.model: .*at least 1"),
        ("llm.models.glm-5.base_url", "localhost:8000/v1", "base_url: .*match pattern"),
        ("llm.models.glm-5.base_url", "http://localhost:8OOO/v1", "base_url: .*match pattern"),
        ("llm.models.glm-5.base_url", "https://me:secret@host/v1", "base_url: .*match pattern"),
        ("llm.models.glm-5.requests_at_once", 0, "requests_at_once: .*greater than or equal to 1"),
        ("llm.models.glm-5.requests_per_minute", 0, "requests_per_minute: .*greater than 0"),
        ("llm.models.glm-5.price", {"input": 1.0}, "glm-5.price.output: Field required"),
        ("llm.models.glm-5.price", {"input": -1, "output": 1}, "glm-5.price.input: .*greater"),
        ("llm.models.glm-5.price", {"input": 1, "output": float("inf")}, "glm-5.price.output: "),
        ("llm.models.glm-5", {"backend": "vllm", "model": "m", "requests_at_once": 1,
                              "price": {"input": 1, "output": 1}},
         "glm-5.price: .*costs nobody"),
        ("typo", 1, "typo: Extra inputs"),
    ],
)  # fmt: skip
def test_an_error_about_a_value_names_its_key(
    shipped: dict[str, Any], tmp_path: Path, key: str, value: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_changed(shipped, tmp_path, key, value)


def test_an_error_does_not_repeat_an_api_key_given_as_key_variable(
    shipped: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"key_variable: .*match pattern") as caught:
        load_changed(shipped, tmp_path, "llm.models.glm-5.key_variable", "sk-secret-123")
    assert "sk-secret-123" not in caught.value.message


def test_floats_written_by_dvc_are_read_as_floats(shipped: dict[str, Any], tmp_path: Path) -> None:
    content = (ROOT / "params.yaml").read_text()
    changed, number = re.subn(r"(?<=learning_rate: )\S+", "1e-05", content)
    assert number
    (tmp_path / "params.yaml").write_text(changed)
    assert load_params(tmp_path / "params.yaml").students["tiny"].train.learning_rate == 1e-5


def test_errors_name_missing_and_malformed_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        load_params(tmp_path / "none.yaml")
    (tmp_path / "p.yaml").write_text("a: [")
    with pytest.raises(InputError, match=r"p\.yaml: not YAML"):
        load_params(tmp_path / "p.yaml")
    (tmp_path / "p.yaml").write_text("- 1")
    with pytest.raises(InputError, match=r"p\.yaml: "):
        load_params(tmp_path / "p.yaml")


def test_an_error_about_an_unknown_scenario_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown scenario 'noise'; .*noisy_labels"):
        load_params(ROOT / "params.yaml").scenario("noise")


def test_an_environment_variable_overrides_a_param(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFT_SGD_ARCHIVE", raising=False)
    assert environment("TFT_SGD_ARCHIVE", "default") == "default"
    monkeypatch.setenv("TFT_SGD_ARCHIVE", "")
    assert environment("TFT_SGD_ARCHIVE", "default") == "default"
    monkeypatch.setenv("TFT_SGD_ARCHIVE", "/elsewhere")
    assert environment("TFT_SGD_ARCHIVE", "default") == "/elsewhere"


def test_judge_today_applies_to_benchmarks_but_not_to_own_traces(
    shipped: dict[str, Any], tmp_path: Path
) -> None:
    shipped = copy.deepcopy(shipped)
    shipped["judge"]["today"] = "2031-05-07"
    for corpus, scenario, day in (
        ("builtin", "baseline", date(2031, 5, 7)),
        ("traces", "own", None),
    ):
        YAML().dump(shipped | {"corpus": corpus, "run": [scenario]}, tmp_path / "params.yaml")
        assert load_params(tmp_path / "params.yaml").today == day
