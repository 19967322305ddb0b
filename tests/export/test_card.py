"""The model card of a student: the numbers of its own run, as people and the Hub read them."""

import re
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

import jinja2
import pytest
from fixtures.card import MEASURED, TASK, card, metrics

from tft.cli.serve import server_command
from tft.core.conversation import Tool
from tft.export.plain_text import PARSER


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that a template names and the code lacks is an error here; else it prints nothing."""
    monkeypatch.setattr(
        jinja2, "Template", partial(jinja2.Template, undefined=jinja2.StrictUndefined)
    )


def rows_of(text: str) -> dict[str, list[str]]:
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return {name.strip(): [one.strip() for one in rest] for name, *rest in lines}


def test_the_card_shows_intervals_and_what_the_correction_rests_on(tmp_path: Path) -> None:
    cell = metrics(MEASURED.judged_by, MEASURED)
    made = card(tmp_path, cell)
    table = rows_of(made.text)
    assert table["score"] == ["mean", "95 % interval"]
    low, high = cell["intervals"]["judge"]
    assert table["judge"] == ["0.583", f"{low:.3f} to {high:.3f}"]
    assert low < 14 / 24 < high
    low, high = cell["intervals"]["judge_corrected"]
    share = cell["judge_corrected"]
    assert table["judge_corrected"] == [f"{share:.3f}", f"{low:.3f} to {high:.3f}"]
    # No conversation differs from another: at 6 of 6 Clopper and Pearson's 0.025 ** (1 / 6).
    assert table["name_accuracy"] == ["1.000", "0.541 to 1.000"]
    assert "service_call_exact" not in table  # there is no such turn
    told = " ".join(made.text.split())
    assert "against 155 published verdicts on students (sensitivity 0.982, specificity" in told

    named = {result.metric_type: result for result in made.data.eval_results}
    assert named["judge"].metric_name == "judge (rules judge v2)"
    assert named["judge_corrected"].metric_value == pytest.approx(share)


def test_the_card_mentions_labels_by_a_machine(tmp_path: Path) -> None:
    cell = metrics(MEASURED.judged_by, MEASURED)
    assert "labeled" not in card(tmp_path, cell).text
    made = card(tmp_path, cell, labeled_by="machine: rules filter, llm relabel")
    assert "labeled by machine: rules filter, llm relabel" in " ".join(made.text.split())


def test_the_card_shows_no_corrected_scores_of_an_unmeasured_judge(tmp_path: Path) -> None:
    made = card(tmp_path, metrics("LLM judge v1 (m)", MEASURED))
    assert "judge" in rows_of(made.text)
    assert "judge_corrected" not in made.content


@pytest.mark.parametrize(
    ("corpus", "base", "of_sgd"),
    [
        ("builtin", "models/base", True),
        ("sgd", "Qwen/Qwen3-1.7B", True),
        ("traces", "models/base", True),
        ("traces", "Qwen/Qwen3-1.7B", False),
    ],
)
def test_the_card_has_the_license_of_sgd_when_sgd_was_used(
    tmp_path: Path, corpus: str, base: str, of_sgd: bool
) -> None:
    made = card(tmp_path, metrics(MEASURED.judged_by, MEASURED), corpus, base)
    assert made.data.license == ("cc-by-sa-4.0" if of_sgd else None)
    assert ("Schema-Guided Dialogue" in made.text) is of_sgd


@pytest.mark.parametrize("plain_text", [False, True])
def test_the_command_on_the_card_is_the_one_that_serves(tmp_path: Path, plain_text: bool) -> None:
    folder = tmp_path / "low_data-tft"
    folder.mkdir()
    task = TASK
    if plain_text:
        (folder / PARSER).touch()
        task = replace(TASK, tools=())
    made = card(folder, metrics("m", MEASURED), task=task)
    (block,) = re.findall(r"```sh\n(.*?)```", made.text, re.DOTALL)
    words = shlex.split(block.replace("\\\n", ""))
    told = words[words.index("python") + 1 :]
    run = server_command(folder, "127.0.0.1", 8000)
    assert told == [word.removeprefix(f"{folder}/") for word in run[1 : run.index("--host")]]


def test_the_card_names_a_base_model_only_when_it_is_on_the_hub(tmp_path: Path) -> None:
    cell = metrics("m", MEASURED)
    assert card(tmp_path, cell, base="Qwen/Qwen3-1.7B").data.base_model == "Qwen/Qwen3-1.7B"
    here = tmp_path / "base"
    here.mkdir()
    made = card(tmp_path, cell, base=str(here))
    assert made.data.base_model is None
    assert str(here) in made.text


def test_the_merged_weights_have_the_card_too(tmp_path: Path) -> None:
    made = card(tmp_path, metrics("m", MEASURED))
    assert (tmp_path / "merged/README.md").read_text(encoding="utf-8") == made.content


def test_the_card_shows_one_seed_s_scores_and_the_spread_across_seeds(tmp_path: Path) -> None:
    mean = metrics(MEASURED.judged_by, MEASURED)
    own = {**mean, "judge": 0.25}
    made = card(
        tmp_path,
        {**mean, "students": {"low_data-tft-123": own, "low_data-tft-4": mean},
         "spread": {"judge": 0.125}},
    )  # fmt: skip
    assert rows_of(made.text)["judge"][0] == "0.250"
    assert "judge_corrected" not in made.content
    told = " ".join(made.text.split())
    assert "trained with seed 123. Across 2 students that differ only in the training seed" in told
    assert "is 0.583 on average, with a standard deviation of 0.125" in told


def test_a_tool_s_description_does_not_break_the_table(tmp_path: Path) -> None:
    tool = Tool("pour", "Pour tea |\nor water", {"properties": {"cups": {}, "heat": {}}})
    made = card(tmp_path, metrics("m", MEASURED), task=replace(TASK, tools=(tool,)))
    assert r"| pour | Pour tea \| or water | cups, heat |" in made.text.splitlines()
