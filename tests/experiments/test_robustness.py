"""The same tools under other names: SGD-X's rewordings, the way back, what is made of scores."""

import hashlib
import json
from contextlib import chdir
from dataclasses import replace
from itertools import product
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.repository import ROOT, run_experiment
from fixtures.sgd_archive import files_of, params_of, service, write_archive
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from experiments.robustness.config import RobustnessConfig
from experiments.robustness.sensitivity import robustness, sensitivity
from tft.config import load_params
from tft.core.config import read_config
from tft.core.conversation import Conversation, ToolCall, assistant, user
from tft.core.errors import InputError
from tft.core.tables import (
    PREDICTIONS,
    SCORES,
    read_conversations,
    read_rows,
    write_conversations,
    write_json,
)
from tft.core.task import RESPOND, Task, call_flaw, read_task, write_task
from tft.corpus.config import SgdConfig
from tft.corpus.sgdx import Rewording, original, pair, read_rewordings, reword
from tft.student.config import LoraConfig

VARIANTS = ["v1", "v2", "v3", "v4", "v5"]
BASE = ROOT / "models" / "base"


# --- rewordings ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def rewordings(sgd_archive: Path, sgd_params: SgdConfig) -> list[Rewording]:
    return read_rewordings(str(sgd_archive), sgd_params, VARIANTS)


@pytest.fixture(scope="module")
def tests(sgd: tuple[list[Conversation], Task], sgd_params: SgdConfig) -> list[Conversation]:
    return [one for one in sgd[0] if one.id in sgd_params.held_out]


def test_the_five_rewordings_name_every_tool_and_slot_anew(
    rewordings: list[Rewording], sgd: tuple[list[Conversation], Task]
) -> None:
    assert [one.variant for one in rewordings] == VARIANTS
    for one in rewordings:
        assert one.tools.keys() == {tool.name for tool in sgd[1].tools} - {RESPOND}
        assert not {*one.tools, *one.slots} & {*one.tools.values(), *one.slots.values()}
        assert one.task.judge_instructions == sgd[1].judge_instructions
    assert rewordings[2].tools["ReserveRestaurant"] == "MakeAReservation"
    assert rewordings[2].slots["restaurant_name"] == "name"


def test_every_reference_fits_the_reworded_tools_and_comes_back_as_it_was(
    rewordings: list[Rewording], tests: list[Conversation]
) -> None:
    assert len(tests) == 34
    for rewording, test in product(rewordings, tests):
        shown = reword(test, rewording)
        assert [index for index, _ in shown.turns()] == [index for index, _ in test.turns()]
        for (_, call), (_, reference) in zip(shown.turns(), test.turns(), strict=True):
            assert call_flaw(call, rewording.task) is None
            assert original(call, rewording) == reference


def test_only_utterances_keep_the_original_names(
    rewordings: list[Rewording], tests: list[Conversation]
) -> None:
    for rewording, test in product(rewordings, tests):
        for old, new in zip(test.messages, reword(test, rewording).messages, strict=True):
            if str(old.content).startswith("["):
                fields = {name for one in json.loads(str(new.content)) for name in one}
                assert fields <= {*rewording.slots.values()}
                values = [sorted(one.values()) for one in json.loads(str(new.content))]
                assert values == [sorted(one.values()) for one in json.loads(str(old.content))]
            elif old.tool_call is None:
                assert new == old


def test_a_rewording_that_changes_no_name_changes_nothing(
    rewordings: list[Rewording], tests: list[Conversation]
) -> None:
    first = replace_names(rewording_of({"FindRestaurants": "a"}, {}), tests)
    assert [reword(test, first) for test in tests] == tests


def replace_names(rewording: Rewording, tests: list[Conversation]) -> Rewording:
    """The rewording with every name of the tests standing for itself."""
    calls = [call for test in tests for _, call in test.turns() if call.name != RESPOND]
    results = [
        one
        for test in tests
        for message in test.messages
        if str(message.content).startswith("[")
        for one in json.loads(str(message.content))
    ]
    slots = {name for call in calls for name in call.arguments} | {
        k for one in results for k in one
    }
    return rewording._replace(
        tools={call.name: call.name for call in calls}, slots={slot: slot for slot in slots}
    )


def rewording_of(tools: dict[str, str], slots: dict[str, str]) -> Rewording:
    return Rewording("v9", Task("serve", (), "be kind"), tools, slots)


def test_an_original_name_is_wrong_under_a_rewording() -> None:
    rewording = rewording_of({"FindBus": "SearchBus"}, {"to": "goal", "seats": "places"})
    by_heart = original(ToolCall("FindBus", {"to": "Lodz", "places": "2", "via": "x"}), rewording)
    assert by_heart.name == "FindBus (not in v9)"
    assert by_heart.arguments == {"to (not in v9)": "Lodz", "seats": "2", "via": "x"}
    said = ToolCall(RESPOND, {"message": "to", "to": "x"})
    assert original(said, rewording) == said


NAMES = st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=5, unique=True)


@given(NAMES.flatmap(lambda names: st.tuples(st.just(names), st.permutations(names))), NAMES)
def test_the_original_call_is_restored_even_when_names_are_swapped(
    names: tuple[list[str], list[str]], said: list[str]
) -> None:
    rewording = rewording_of({"Find": "Look"}, dict(zip(*names, strict=True)))
    arguments = dict.fromkeys(names[0], "1")
    talk = Conversation("talk", "s", (user("hello"), assistant("Find", arguments)))
    ((_, call),) = reword(talk, rewording).turns()
    assert original(call, rewording) == ToolCall("Find", arguments)
    # No two arguments of a prediction become one, whatever a student says.
    found = original(ToolCall("Look", dict.fromkeys(said, "1")), rewording)
    assert len(found.arguments) == len(said)


def test_names_of_another_service_are_refused(rewordings: list[Rewording]) -> None:
    for message in (
        assistant("FindHotels", {"city": "Oslo"}),
        assistant("FindRestaurants", {"stars": "3"}),
    ):
        with pytest.raises(InputError, match=r"conversation 'odd': message 1: .* SGD-X's v1"):
            reword(Conversation("odd", "s", (user("hello"), message)), rewordings[0])
    for result in ('[{"stars": 3}]', "none found", '"text"', "[1]"):
        messages = (user("hi"), assistant("FindRestaurants", {"city": "Oslo"}), user(result))
        with pytest.raises(InputError, match="conversation 'odd': message 2: "):
            reword(Conversation("odd", "s", messages), rewordings[0])


def reworded_service() -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(
        json.dumps(service()).replace('"to"', '"goal"').replace('"seats"', '"places"')
    )
    changed["service_name"] = "Buses_91"
    changed["intents"][0]["name"] = "SearchBus"
    return changed


def test_two_schemas_pair_part_by_part() -> None:
    found = pair("v1", service(), reworded_service())
    assert (found.tools, found.slots) == (
        {"FindBus": "SearchBus"},
        {"seats": "places", "to": "goal"},
    )
    assert found.task.tools[1].name == "SearchBus"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("slots",), []),
        (("intents",), []),
        (("slots", 0, "is_categorical"), False),
        (("slots", 0, "possible_values"), ["1"]),
        (("slots", 1, "name"), "places"),
        (("intents", 0, "name"), RESPOND),
        (("intents", 0, "required_slots"), ["places"]),
        (("intents", 0, "optional_slots"), {"places": "2"}),
    ],
)
def test_schemas_that_differ_in_more_than_words_are_refused(
    path: tuple[Any, ...], value: Any
) -> None:
    changed = reworded_service()
    place = changed
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(InputError, match="SGD-X v1: Buses_91 is no rewording of Buses_9"):
        pair("v1", service(), changed)


def test_the_rewordings_are_checked_against_pinned_checksums(tmp_path: Path) -> None:
    talk = {"dialogue_id": "1", "services": [], "turns": []}
    member = "sgd_x/data/v1/train/schema.json"
    files = files_of(talk) | {member: json.dumps([reworded_service()]).encode()}
    params = params_of(files)
    archive = tmp_path / "sgd.tar.gz"
    write_archive(archive, files)
    assert read_rewordings(str(archive), params, ["v1"])[0].slots["to"] == "goal"
    with pytest.raises(InputError, match=r"no schema of Buses_92 in sgd_x/data/v2/"):
        read_rewordings(str(archive), params, ["v2"])

    write_archive(archive, files | {member: files[member] + b" "})
    with pytest.raises(InputError) as caught:
        read_rewordings(str(archive), params, ["v1"])
    digest = hashlib.sha256(files[member]).hexdigest()
    assert f"{member}: sha256 expected {digest}, got " in caught.value.message

    write_archive(archive, {name: files[name] for name in files if name != member})
    with pytest.raises(InputError, match=f"missing {member}"):
        read_rewordings(str(archive), params, ["v1"])


# --- scores -------------------------------------------------------------------------------------
def row(turn: int, judge: float | None, tool: str = RESPOND) -> dict[str, Any]:
    return {
        "conversation": f"c{turn % 3}", "turn": turn, "tool": tool, "predicted_tool": tool,
        "judge": judge, "staged_tool_call": 1.0, "binary_tool_call": judge,
        "tool_call_equivalence": 1.0, "rouge": 1.0, "name_accuracy": 1.0, "parse_failure": False,
    }  # fmt: skip


def test_sensitivity_is_the_mean_over_turns_of_the_coefficient_of_variation() -> None:
    # Turn 0 is right under 4 of 5 variants: mean 0.8, variance (4 * 0.04 + 0.64) / 4 = 0.2. Turn 1
    # is never right, turn 2 always: neither varies.
    variants = [[row(0, float(number < 4)), row(1, 0.0), row(2, 1.0)] for number in range(5)]
    assert sensitivity(variants, "judge") == pytest.approx(sqrt(0.2) / 0.8 / 3, abs=1e-6)
    once = [[row(0, float(number == 0))] for number in range(5)]
    assert sensitivity(once, "judge") == pytest.approx(sqrt(5), abs=1e-6)  # the most there is


def test_service_calls_have_their_own_sensitivity() -> None:
    variants = [[row(0, 1.0), row(1, float(number), "FindBus")] for number in range(2)]
    assert sensitivity(variants, "service_call_exact") == pytest.approx(sqrt(2), abs=1e-6)
    assert sensitivity(variants[:1], "judge") is None
    assert sensitivity([[row(0, 1.0)], [row(0, 1.0)]], "service_call_exact") is None


ORIGINAL = {
    "n": 3, "parse_failures": 0, "judge": 1.0, "name_accuracy": 1.0, "service_call_exact": None,
    "staged_tool_call": 1.0, "intervals": {"judge": [0.9, 1.0]},
}  # fmt: skip


def test_a_cell_has_its_variants_their_mean_and_their_spread() -> None:
    good = {name: [row(turn, 1.0) for turn in range(3)] for name in ("v1", "v2")}
    half = good | {"v2": [row(0, 0.0), row(1, 1.0), row(2, 0.0)]}
    found = robustness({"s-tft": ORIGINAL, "s-direct": ORIGINAL},
                       {"s-tft": good, "s-direct": half}, ["s"])  # fmt: skip
    cell = found["cells"]["s-direct"]
    assert cell["original"]["intervals"] == {
        "judge": [0.9, 1.0], "name_accuracy": None, "service_call_exact": None,
        "staged_tool_call": None,
    }  # fmt: skip
    assert [cell["variants"][name]["judge"] for name in ("v1", "v2")] == [1.0, 0.333333]
    assert (cell["reworded"]["judge"], cell["reworded"]["n"]) == (0.666667, 6)
    assert cell["deviation"]["judge"] == pytest.approx(2 / 3 / sqrt(2), abs=1e-6)
    assert cell["deviation"]["service_call_exact"] is None
    assert found["cells"]["s-tft"]["sensitivity"]["judge"] == 0
    assert found["comparison"]["s"]["difference"] == pytest.approx(1 / 3, abs=1e-6)


def test_a_turn_without_a_verdict_is_counted_and_left_out_of_all_variants() -> None:
    whole = {name: [row(turn, 1.0) for turn in range(3)] for name in ("v1", "v2")}
    holed = whole | {"v2": [row(0, None), row(1, 0.0), row(2, 1.0)]}
    found = robustness({"a": ORIGINAL, "b": ORIGINAL}, {"a": whole, "b": holed}, [])
    assert found["no_verdict"] == 1
    cells = found["cells"].values()
    assert {one["n"] for cell in cells for one in cell["variants"].values()} == {2}


# --- the stage ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def project(tests: list[Conversation], sgd: tuple[list[Conversation], Task], tmp_path_factory: Any,
            sgd_archive: Path) -> Path:  # fmt: skip
    """The base, the first of two seeds' students, untrained, and a conversation's first turns."""
    from tft.student.finetune import adapted

    root = tmp_path_factory.mktemp("robustness")
    content = YAML(typ="safe").load(ROOT / "params.yaml")
    content |= {
        "run": ["low_data"],
        "pipelines": ["direct"],
        "training_seeds": [1, 2],
        "corpus": "sgd",
    }
    content["predict"] = {"backend": "transformers", "max_new_tokens": 8}
    content["students"]["tiny"]["lora"]["r"] = 8
    content["sgd"]["archive"] = str(sgd_archive)
    YAML().dump(content, root / "params.yaml")
    (root / "experiments/robustness").mkdir(parents=True)
    YAML().dump({"variants": ["v1", "v3"]}, root / "experiments/robustness/params.yaml")
    (root / "models").mkdir()
    (root / "models/base").symlink_to(BASE)
    tiny = load_params(ROOT / "params.yaml").students["tiny"].seeded(1)
    torch.manual_seed(0)
    lora = LoraConfig(r=8, lora_alpha=8, lora_dropout=0.0)
    model = adapted(tiny.model_copy(update={"base": str(BASE), "lora": lora}))
    model.save_pretrained(root / "models/adapters/low_data-direct-1")
    short = replace(tests[0], messages=tests[0].messages[:8])
    write_conversations(root / "data/test/conversations.parquet", [short])
    write_task(root / "data/split/task.json", sgd[1])
    write_json(root / "data/scores/cells/base.json", ORIGINAL)
    students = {f"low_data-direct-{seed}": ORIGINAL | {"judge": 0.75 / seed} for seed in (1, 2)}
    mean = ORIGINAL | {"judge": 0.5625, "students": students}
    write_json(root / "data/scores/cells/low_data-direct.json", mean)
    return root


def test_students_are_asked_under_the_new_names_and_scored_under_the_old(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFT_CACHE", str(project / "cache"))
    monkeypatch.delenv("TFT_SGD_ARCHIVE", raising=False)
    with chdir(project):
        done = run_experiment("robustness")
        assert done.exit_code == 0, (done.output, done.exception)
        found = json.loads(Path("experiments/robustness/scores/robustness.json").read_text())
        assert found["judged_by"].startswith("rules judge")
        assert found["seed"] == 1
        # A cell's own score is the mean over its seeds; this one was the first seed's.
        originals = {cell: one["original"]["judge"] for cell, one in found["cells"].items()}
        assert originals == {"base": 1.0, "low_data-direct": 0.75}
        assert found["cells"].keys() == {"base", "low_data-direct"}
        (test,) = read_conversations(Path("data/test/conversations.parquet"))
        turns = [(test.id, index) for index, _ in test.turns()]
        for variant, cell in product(("v1", "v3"), found["cells"]):
            folder = Path("experiments/robustness/scores") / variant
            (shown,) = read_conversations(folder / "test.parquet")
            task = read_task(folder / "task.json")
            assert all(task.tool(call.name) for _, call in shown.turns())
            predictions = read_rows(folder / f"predictions/{cell}.parquet", PREDICTIONS)
            assert [(one["conversation"], one["turn"]) for one in predictions] == turns
            scores = read_rows(folder / f"scores/{cell}.parquet", SCORES)
            mean = sum(one["judge"] for one in scores) / len(scores)
            assert found["cells"][cell]["variants"][variant]["judge"] == pytest.approx(
                mean, abs=1e-6
            )
        # An untrained adapter answers as the base does.
        assert found["cells"]["base"]["variants"] == found["cells"]["low_data-direct"]["variants"]

        before = Path("experiments/robustness/scores/robustness.json").read_bytes()
        again = run_experiment("robustness")
        assert "2 of 2 students: answers from the cache" in again.output
        assert Path("experiments/robustness/scores/robustness.json").read_bytes() == before


def test_a_run_on_another_corpus_than_sgd_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "experiments/robustness").mkdir(parents=True)
    (tmp_path / "experiments/robustness/params.yaml").write_text("variants: [v1]\n")
    with chdir(tmp_path):
        done = run_experiment("robustness")
    assert done.exit_code == 1
    assert "corpus: builtin; SGD-X rewords only SGD's tools" in done.output
    assert not (tmp_path / "experiments/robustness/scores").exists()


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (["v6"], "variants.0: "),
        (["v1", "v1"], "a variant is repeated"),
        ([], "variants: .*at least 1"),
    ],
)
def test_an_error_about_variants_names_the_key(
    tmp_path: Path, variants: list[str], message: str
) -> None:
    YAML().dump({"variants": variants}, tmp_path / "params.yaml")
    with pytest.raises(InputError, match=message):
        read_config(tmp_path / "params.yaml", RobustnessConfig)


def test_the_shipped_variants_are_valid() -> None:
    params = ROOT / "experiments/robustness/params.yaml"
    assert read_config(params, RobustnessConfig).variants == VARIANTS
