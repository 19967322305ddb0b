"""What several test modules need; real data are read where they lie, once per run."""

import os
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, settings
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from tft.core.conversation import Conversation
from tft.core.task import Task
from tft.corpus.config import PublishedConfig, SgdConfig
from tft.corpus.published import read_published
from tft.corpus.sgd import read_sgd
from tft.scenarios.config import Scenario

# No test may fail because the machine is busy.
settings.register_profile("tft", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tft")

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
# Read here, because tests change the environment and the working directory.
SGD = Path(os.environ.get("TFT_SGD_ARCHIVE") or SHARED / "sgd-single-domain.tar.gz").absolute()
PUBLISHED = Path(os.environ.get("TFT_PUBLISHED") or SHARED / "published").absolute()


def script(path: str) -> ModuleType:
    """A script outside of packages as a module; its path is from the repository's root."""
    spec = spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_stage(name: str, *arguments: str) -> Result:
    """A stage by its own command, in the working directory."""
    return CliRunner().invoke(script(f"stages/{name}.py").main, arguments)


def needed(path: Path, what: str) -> Path:
    """What a test needs on this machine; skips the test where it is missing, but never in CI."""
    if not path.exists():
        assert not os.environ.get("CI"), f"CI runs without {what}: no {path}"
        pytest.skip(f"needs {what}: no {path}")
    return path


def qwen3_template() -> str:
    """The chat template that Qwen3 ships, as TRL keeps a copy (read without importing TRL)."""
    trl = find_spec("trl")
    assert trl and trl.submodule_search_locations, "Qwen3's template comes with TRL: extra dev"
    template = Path(trl.submodule_search_locations[0]) / "chat_templates" / "qwen3.jinja"
    return template.read_text(encoding="utf-8")


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
