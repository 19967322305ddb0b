"""dvc.yaml against the code: DVC follows neither imports nor a script's use of params."""

import ast
from pathlib import Path

import grimp
import pytest
from dvc.repo import Repo
from dvc.stage import PipelineStage
from fixtures.repository import ROOT
from ruamel.yaml import YAML

from tft.config import load_params

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
FILES = [file for file in (ROOT / "src/tft").rglob("*.*") if file.suffix != ".pyc"]
IMPORTS = grimp.build_graph("tft", cache_dir=None)

# They only validate; the values they hand on are tracked under `params`, key by key. As deps they
# would retrain every student whenever any section gets a new key.
# timing.py writes beside the outputs what no stage's result rests on.
EXEMPT = {"tft.core.errors", "tft.config", "tft.core.stage"}


@pytest.fixture(scope="module")
def resolved() -> dict[str, PipelineStage]:
    """Every stage by its address, interpolated against params.yaml."""
    with Repo(str(ROOT)) as repo:
        return {stage.addressing: stage for stage in repo.index.stages}


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def definitions(tree: ast.Module) -> dict[str, ast.stmt]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def code_of(stage: str) -> tuple[ast.Module, list[ast.stmt]]:
    """A stage's script, and the definitions of roles.py that it reaches.

    roles.py wires up every part of the project; followed as a whole, every stage would depend on
    everything. So it is followed definition by definition.
    """
    script = parse(ROOT / "stages" / f"{stage}.py")
    defined = definitions(parse(source_file("tft.roles")))
    reached: list[ast.stmt] = []
    wanted = {name for name, module in imported_by(script).items() if module == "tft.roles"}
    while wanted:
        node = defined[wanted.pop()]
        reached.append(node)
        wanted |= {name for name in names_in(node) & set(defined) if defined[name] not in reached}
    return script, reached


def imported_by(tree: ast.Module) -> dict[str, str]:
    """What a file imports from tft: the name it binds -> the module that comes from."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tft":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                module = full if full in IMPORTS.modules else str(node.module)
                found[alias.asname or alias.name] = module
        elif isinstance(node, ast.Import):
            assert not [alias for alias in node.names if alias.name.startswith("tft")], (
                "`from tft.x import y`, not `import tft.x`: the tests here follow names"
            )
    return found


def names_in(node: ast.AST) -> set[str]:
    return {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}


def source_file(module: str) -> Path:
    base = ROOT / "src" / Path(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def says_something(file: Path) -> bool:
    """Whether a file holds more than a docstring (most __init__.py do not)."""
    return not all(isinstance(node, ast.Expr) for node in parse(file).body)


def files_used(stage: str) -> set[Path]:
    """The source files whose code can change what a stage writes."""
    script, reached = code_of(stage)
    direct = set(imported_by(script).values()) - {"tft.roles"}
    of_roles = imported_by(parse(source_file("tft.roles")))
    direct |= {of_roles[name] for node in reached for name in names_in(node) & set(of_roles)}
    modules = direct.union(*map(IMPORTS.find_upstream_modules, direct))
    modules |= {module.rsplit(".", 1)[0] for module in modules}  # a package runs its __init__.py
    if reached:
        modules.add("tft.roles")
    used = set(filter(says_something, map(source_file, modules - EXEMPT)))
    data = {  # files of the package that a module names, a template say
        file for module in used for file in FILES if f'"{file.name}"' in module.read_text("utf-8")
    }
    return used | data | {ROOT / "stages" / f"{stage}.py"}


@pytest.mark.parametrize("stage", STAGES)
def test_deps_hold_all_code_that_runs_and_none_that_does_not(stage: str) -> None:
    deps = [ROOT / dep for dep in STAGES[stage]["deps"] if dep.startswith(("src/", "stages/"))]
    used = files_used(stage)

    missing = {file for file in used if not any(file.is_relative_to(dep) for dep in deps)}
    assert not missing, f"used by stages/{stage}.py but not in its deps"
    idle = {dep for dep in deps if not any(file.is_relative_to(dep) for file in used)}
    assert not idle, f"in the deps of {stage} but not used by its script"


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_exactly_the_sections_that_are_read(stage: str) -> None:
    """A param that is read but not tracked leaves stale results behind without a word."""
    script = ROOT / "stages" / f"{stage}.py"
    tracked = {key.split(".")[0] for key in STAGES[stage].get("params", [])}
    assert tracked == params_read(parse(script), script)


# Attributes of Params that are no key of params.yaml of the same name.
SECTIONS = {
    "scenario": {"scenarios"},
    "scenarios": {"scenarios", "run"},
    "defined": {"scenarios"},
    "today": {"corpus", "judge"},
}


def params_read(tree: ast.AST, file: Path) -> set[str]:
    """Sections read off the name `params`, also by functions that are handed all of it."""
    read = set()
    for node in ast.walk(tree):
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


def is_all_params(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="params") | ast.Call(func=ast.Name(id="load_params")):
            return True
    return False


def test_a_stage_has_the_name_of_its_script_and_describes_itself() -> None:
    for name, stage in STAGES.items():
        assert stage["cmd"].split()[:2] == ["python", f"stages/{name}.py"]
        assert stage["desc"]
    scripts = {script.stem for script in (ROOT / "stages").glob("*.py")}
    assert scripts == set(STAGES)


def test_every_tracked_param_exists(resolved: dict[str, PipelineStage]) -> None:
    content = YAML(typ="safe").load(ROOT / "params.yaml")
    for address, stage in resolved.items():
        for dep in stage.params:
            for key in dep.params:
                value = content
                for part in key.split("."):
                    assert part in value, f"{address} tracks {key}, which params.yaml lacks"
                    value = value[part]


def test_matrix_has_every_scenario_pipeline_and_seed(resolved: dict[str, PipelineStage]) -> None:
    params = load_params(ROOT / "params.yaml")
    assert {f"traces@{s}" for s in params.scenarios} == {
        name for name in resolved if name.startswith("traces@")
    }
    cells = [f"{s}-{p}" for s in params.scenarios for p in params.pipelines]
    assert {f"package@{cell}" for cell in cells} == {
        name for name in resolved if name.startswith("package@")
    }
    assert {f"finetune@{cell}-{seed}" for cell in cells for seed in params.training_seeds} == {
        name for name in resolved if name.startswith("finetune@")
    }


def test_training_does_not_depend_on_judgement() -> None:
    """Whoever mends the judge or the table must not have to train again."""
    for name in ("fetch", "split", "traces", "pretrain", "finetune", "predict"):
        deps = STAGES[name]["deps"]
        assert not [dep for dep in deps if "rules" in dep or "evaluation" in dep or "report" in dep]
        assert not {"judge", "report"} & set(STAGES[name].get("params", []))


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *ROOT.glob("examples/**/params.yaml")])
def test_shipped_params_are_valid(path: Path) -> None:
    load_params(path)
