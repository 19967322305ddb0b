"""What DVC's run cache saves: nothing that was done once, here or in another clone, is redone."""

import shutil

import pytest
from fixtures.project import FINISHED, FirstRun, Project

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def clone(first_run: FirstRun, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A colleague's clone with an empty TFT_CACHE, which shares a remote with the first run."""
    folder = tmp_path_factory.mktemp("clone")
    first, root = first_run.project, folder / "repository"
    first.run("git", "clone", "--quiet", "--branch", FINISHED, str(first.root), str(root))
    clone = Project(root, folder / "cache")
    clone.share(first_run.remote)
    clone.run("dvc", "pull", "--run-cache")
    return clone


def test_another_clone_runs_no_stage_after_pulling(clone: Project) -> None:
    assert clone.stages_run_by("dvc", "repro") == set()
    assert clone.status() == []
    assert not clone.cache.exists()


def test_another_clone_runs_no_stage_without_the_lock_file_and_the_outputs(clone: Project) -> None:
    before = (clone.root / "dvc.lock").read_bytes()
    (clone.root / "dvc.lock").unlink()
    for output in ("data", "models/adapters", "models/students", "reports", "metrics"):
        shutil.rmtree(clone.root / output)
    assert clone.stages_run_by("dvc", "repro") == set()
    assert (clone.root / "dvc.lock").read_bytes() == before
    assert clone.status() == []
    assert not clone.cache.exists()


@pytest.mark.parametrize(
    ("key", "value", "stage"),
    [
        ("report__pipeline", "tft", "report"),
        # No score lies between the thresholds, so that the outputs stay equal.
        ("filter__thresholds__noisy_labels__min_relevance", 2, "filter@noisy_labels"),
    ],
)
def test_a_param_that_is_changed_back_and_forth_runs_its_stage_once(
    clone: Project, key: str, value: object, stage: str
) -> None:
    params = clone.root / "params.yaml"
    original = params.read_bytes()
    clone.edit_params(**{key: value})
    changed = params.read_bytes()
    assert stage in clone.stages_run_by("dvc", "repro")
    for content in (original, changed, original):
        params.write_bytes(content)
        assert clone.stages_run_by("dvc", "repro") == set()
    assert clone.status() == []
