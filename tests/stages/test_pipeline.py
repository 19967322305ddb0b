"""dvc.yaml against the code: DVC follows neither imports nor a script's use of params."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grimp
import pytest
from dvc.repo import Repo
from dvc.stage import PipelineStage
from fixtures.repository import ROOT
from ruamel.yaml import YAML

from tft.config import load_params

DVC_FILES = [ROOT / "dvc.yaml", *sorted(ROOT.glob("experiments/*/dvc.yaml"))]
# Without params, which are tracked as such, and what experiments write under the same names.
FILES = [
    file
    for folder in ("src/tft", "experiments")
    for file in (ROOT / folder).rglob("*.*")
    if file.suffix != ".pyc" and file.name not in {"README.md", "params.yaml", "robustness.json"}
]
IMPORTS = grimp.build_graph("tft", "experiments", cache_dir=None)


class Declared(NamedTuple):
    """A stage as its dvc.yaml declares it."""

    name: str
    content: dict[str, Any]

    @property
    def script(self) -> Path:
        """The file that `python FILE` or `python -m MODULE` runs."""
        _, *arguments = self.content["cmd"].split()
        if arguments[0] == "-m":
            return source_file(arguments[1])
        return ROOT / arguments[0]

    @property
    def code(self) -> list[Path]:
        """The dependencies that are code."""
        places = ("src/", "stages/", "experiments/")
        deps = [dep for dep in self.content["deps"] if dep.startswith(places)]
        return [ROOT / dep for dep in deps if not dep.endswith(".json")]


def declared(file: Path) -> list[Declared]:
    stages = YAML(typ="safe").load(file)["stages"]
    return [Declared(name, content) for name, content in stages.items()]


def source_file(module: str) -> Path:
    base = ROOT / ("src" if module.startswith("tft") else "") / Path(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


PIPELINE = declared(ROOT / "dvc.yaml")
STAGES = [stage for file in DVC_FILES for stage in declared(file)]
every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
pipeline_stage = pytest.mark.parametrize("stage", PIPELINE, ids=lambda stage: stage.name)


@pytest.fixture(scope="module")
def resolved() -> dict[str, PipelineStage]:
    """Every stage by its address, interpolated against params.yaml."""
    with Repo(str(ROOT)) as repo:
        return {stage.addressing: stage for stage in repo.index.stages}


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


# --- dependencies -----------------------------------------------------------------------------


def is_exempt(module: str) -> bool:
    """Whether a change of this module need not rerun a stage.

    config.py and ROOM/config.py only validate params; the values that they pass on are tracked key
    by key under `params`. As dependencies they would rerun every stage whenever any room gets a new
    key. core/errors.py only words how a stage fails, and a stage that fails writes nothing.
    """
    return module == "tft.core.errors" or module.rsplit(".", maxsplit=1)[-1] == "config"


def imported_modules(script: Path) -> set[str]:
    """The local modules that a script imports, directly or not, except through exempt ones."""
    found: set[str] = set()
    wanted = set(imported_by(parse(script)).values())
    while wanted:
        module = wanted.pop()
        if module in found or is_exempt(module):
            continue
        found.add(module)
        wanted |= IMPORTS.find_modules_directly_imported_by(module)
        if package := module.rpartition(".")[0]:
            wanted.add(package)  # importing a module runs the __init__.py of its package
    return found


def imported_by(tree: ast.Module) -> dict[str, str]:
    """What a file imports from here: the name it binds -> the module that comes from."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and is_local(node.module or ""):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                module = full if full in IMPORTS.modules else str(node.module)
                found[alias.asname or alias.name] = module
        elif isinstance(node, ast.Import):
            assert not [alias for alias in node.names if is_local(alias.name)], (
                "`from tft.x import y`, not `import tft.x`: the tests here follow names"
            )
    return found


def is_local(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in {"tft", "experiments"}


def has_code(file: Path) -> bool:
    """Whether a file has more than a docstring (most __init__.py have not)."""
    return not all(isinstance(node, ast.Expr) for node in parse(file).body)


def files_used(script: Path) -> set[Path]:
    """The files whose content can change what a stage writes."""
    used = set(filter(has_code, map(source_file, imported_modules(script)))) | {script}
    data = {  # files of the package that a module names, such as a template
        file for module in used for file in FILES
        if file.parent == module.parent and f'"{file.name}"' in module.read_text("utf-8")
    }  # fmt: skip
    return used | data


@every_stage
def test_every_module_that_a_stage_imports_is_among_its_dependencies(stage: Declared) -> None:
    missing = {
        str(file.relative_to(ROOT))
        for file in files_used(stage.script)
        if not any(file.is_relative_to(dep) for dep in stage.code)
    }
    assert not missing, f"imported by {stage.script.relative_to(ROOT)} but not in its deps"


@every_stage
def test_a_stage_depends_on_no_code_that_it_does_not_import(stage: Declared) -> None:
    used = files_used(stage.script)
    idle = {str(dep) for dep in stage.code if not any(file.is_relative_to(dep) for file in used)}
    assert not idle


@every_stage
def test_every_dependency_on_code_exists(stage: Declared) -> None:
    assert [dep for dep in stage.code if not dep.exists()] == []


def test_judgment_is_no_dependency_of_training() -> None:
    """A change of the judge or of the table must not train students again."""
    judging = ("judge", "evaluation", "report")
    for stage in PIPELINE:
        if stage.name in {"fetch", "split", "corrupt", "finetune", "predict"}:
            deps = stage.content["deps"]
            assert not [dep for dep in deps if any(room in dep for room in judging)]
            assert not {"judge", "report"} & set(stage.content.get("params", []))


# --- params -----------------------------------------------------------------------------------


@pipeline_stage
def test_a_stage_tracks_exactly_the_sections_of_params_that_it_reads(stage: Declared) -> None:
    """A param that is read but not tracked would leave stale results without notice."""
    tracked = {key.split(".")[0] for key in stage.content.get("params", [])}
    assert tracked == params_read(parse(stage.script), stage.script)


# Attributes of Params that are not keys of params.yaml under the same name.
SECTIONS = {
    "scenario": {"scenarios"},
    "scenarios": {"scenarios", "run"},
    "defined": {"scenarios"},
    "seeded": {"student", "students"},
    "today": {"corpus", "judge"},
}


def params_read(tree: ast.AST, file: Path) -> set[str]:
    """Sections read off the name `params`, also by functions that are given all of it."""
    read = set()
    for node in outside_checks(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="params"), attr=name):
                read |= SECTIONS.get(name, {name})
            case ast.Call(func=ast.Name(id=function), args=args, keywords=keywords):
                if any(map(is_all_params, [*args, *(keyword.value for keyword in keywords)])):
                    home = file
                    if function in imported_by(parse(file)):
                        home = source_file(imported_by(parse(file))[function])
                    read |= params_read(definitions(parse(home))[function], home)
    return read


def outside_checks(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those of `params.scenario(name)` alone, which only checks the name."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="scenario"))):
                continue
        yield node
        yield from outside_checks(node)


def is_all_params(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "params"


def definitions(tree: ast.Module) -> dict[str, ast.stmt]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_tracked_param_exists(resolved: dict[str, PipelineStage]) -> None:
    content = YAML(typ="safe").load(ROOT / "params.yaml")
    for address, stage in resolved.items():
        for dep in stage.params:
            if Path(dep.fs_path).name == "params.yaml" and Path(dep.fs_path).parent == ROOT:
                for key in dep.params:
                    value = content
                    for part in key.split("."):
                        assert part in value, f"{address} tracks {key}, which params.yaml lacks"
                        value = value[part]


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *ROOT.glob("examples/**/params.yaml")])
def test_shipped_params_are_valid(path: Path) -> None:
    load_params(path)


# --- names and outputs ------------------------------------------------------------------------


def test_a_stage_has_the_name_of_its_script_and_a_description() -> None:
    for stage in PIPELINE:
        assert stage.script == ROOT / "stages" / f"{stage.name}.py"
        assert stage.content["desc"]
    scripts = {script.stem for script in (ROOT / "stages").glob("*.py")}
    assert scripts == {stage.name for stage in PIPELINE}


@pytest.mark.parametrize("file", DVC_FILES[1:], ids=lambda file: file.parent.name)
def test_an_experiment_has_the_name_of_its_folder_and_runs_its_run_py(file: Path) -> None:
    (stage,) = declared(file)
    assert stage.name == file.parent.name
    assert stage.script == file.parent / "run.py"
    assert stage.content["desc"]
    assert stage.content["wdir"] == "../.."


def test_the_matrix_has_every_scenario_pipeline_and_seed(
    resolved: dict[str, PipelineStage],
) -> None:
    params = load_params(ROOT / "params.yaml")
    cells = [f"{scenario}-{pipeline}" for scenario in params.run for pipeline in params.pipelines]
    expected = {
        **dict.fromkeys(("corrupt", "filter", "relabel", "synthesize", "audit"), params.run),
        "export": cells,
        "finetune": [f"{cell}-{seed}" for cell in cells for seed in params.training_seeds],
    }
    for stage, items in expected.items():
        made = {name for name in resolved if name.startswith(f"{stage}@")}
        assert made == {f"{stage}@{item}" for item in items}


@every_stage
def test_dvc_caches_every_output(stage: Declared) -> None:
    """An output with `cache: false` or `persist: true` would switch off the run cache."""
    for kind in ("outs", "metrics", "plots"):
        for output in stage.content.get(kind, []):
            for settings in output.values() if isinstance(output, dict) else []:
                assert settings.get("cache", True), f"{stage.name}: {output}"
                assert not settings.get("persist", False), f"{stage.name}: {output}"
