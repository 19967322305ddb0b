"""What several test modules need; real data are read where they lie, once per run."""

from pathlib import Path
from typing import Any

import pytest
from fixtures.repository import PUBLISHED, ROOT, SGD, needed
from hypothesis import HealthCheck, settings
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from tft.core.conversation import Conversation
from tft.core.task import Task
from tft.corpus.config import PublishedConfig, SgdConfig
from tft.corpus.published import read_published
from tft.corpus.sgd import read_sgd
from tft.scenarios.config import Scenario

pytest_plugins = [
    "fixtures.boats",
    "fixtures.fetch",
    "fixtures.project",
    "fixtures.sgd_archive",
    "fixtures.tea",
]

# No test may fail because the machine is busy.
settings.register_profile("tft", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tft")


@pytest.fixture(scope="session")
def shipped() -> dict[str, Any]:
    """params.yaml as it is in the repository, not validated."""
    content: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")
    return content


@pytest.fixture(scope="session")
def sgd_params(shipped: dict[str, Any]) -> SgdConfig:
    return SgdConfig.model_validate(shipped["sgd"])


@pytest.fixture(scope="session")
def scenarios(shipped: dict[str, Any]) -> dict[str, Scenario]:
    return TypeAdapter(dict[str, Scenario]).validate_python(shipped["scenarios"])


@pytest.fixture(scope="session")
def sgd_archive() -> Path:
    return needed(SGD, "SGD, as TFT_SGD_ARCHIVE names it")


@pytest.fixture(scope="session")
def sgd(sgd_archive: Path, sgd_params: SgdConfig) -> tuple[list[Conversation], Task]:
    """The benchmark's conversations from Schema-Guided Dialogue, and their task."""
    return read_sgd(str(sgd_archive), sgd_params)


@pytest.fixture(scope="session")
def published_folder() -> Path:
    """The published files in a flat copy, those with an LLM's verdicts in `judged`."""
    return needed(PUBLISHED / "judged", "a flat copy of the published data").parent


@pytest.fixture(scope="session")
def published(shipped: dict[str, Any]) -> tuple[list[Conversation], Task]:
    """The published traces and test conversations, and their task."""
    folder = needed(PUBLISHED, "the published data, as TFT_PUBLISHED names them")
    return read_published(str(folder), PublishedConfig.model_validate(shipped["published"]))
