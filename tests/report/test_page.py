"""The page to look at: what stands in it, and what a browser makes of it."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import chdir
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fixtures.repository import ROOT, needed, run_stage
from fixtures.run import (
    CURATION,
    run_stages,
    write_curation,
    write_experiments,
    write_policies,
)
from fixtures.strategies import conversations
from fixtures.tea import SCENARIOS, TASK
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from tft.core.conversation import Conversation, assistant, user
from tft.core.tables import PREDICTIONS, write_conversations, write_json, write_rows
from tft.core.task import RESPOND, write_task
from tft.report.charts import delta_rows
from tft.report.turns import changes, lineage, nearest, said

HOSTILE = "</script><script>document.title = 'taken'</script><!-- <b>bold</b> &amp; '\u2028"

TESTS = [
    Conversation(
        name, "teas",
        (
            user(words),
            assistant("OrderTea", {"kind": "Assam"}),
            user('[{"kind": "Assam"}]'),
            assistant(RESPOND, {"message": "Done. Anything else?"}),
        ),
    )
    for name, words in (("tea", "A pot of Assam, please"), ("torn", f"Assam {HOSTILE}"))
]  # fmt: skip
# Longer than a bin of the curves is wide.
ORDERED = (user("A pot of Assam, please"), assistant(RESPOND, {"message": "Done. Anything else?"}))
TESTS.append(Conversation("wait", "teas", ORDERED * 4))
TURNS = 8  # of TESTS
TRACE = Conversation(
    "logged", "teas",
    (user("A pot of Darjeeling, please"), assistant(RESPOND, {"message": HOSTILE})),
    {"file": "teas.json", "changes": [{"message": 1, "kind": "swapped"}, {"message": 3}]},
)  # fmt: skip
MADE = Conversation(
    "tft-00001", "synthetic",
    (user("A pot of Assam, please"), assistant("OrderTea", {"kind": "Assam"})),
    {"exemplars": ["logged", "other"]},
)  # fmt: skip

CHARTS = 7  # all there are
TIMES = {
    "split": 30, "finetune@low_data-tft-123": 90, "finetune@low_data-direct-123": 120,
    "corrupt@old": 9,
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository just before the page: tft orders what was asked, direct and the base do not."""
    root = tmp_path_factory.mktemp("page")
    content = YAML(typ="safe").load(ROOT / "params.yaml")
    content["teacher"]["role"] = "llm"
    YAML().dump(content | {"pipelines": ["direct", "tft"]}, root / "params.yaml")
    with chdir(root):
        write_conversations(Path("data/test/conversations.parquet"), TESTS)
        write_task(Path("data/split/task.json"), TASK)
        write_predictions("base", [None, None, None, None])
        write_predictions("teacher", ["Assam", "Coming.", "Assam", "Coming."], "teacher")
        for scenario in SCENARIOS:
            write_conversations(Path(f"data/direct/{scenario}/train.parquet"), [TRACE])
            write_conversations(Path(f"data/tft/{scenario}/train.parquet"), [MADE])
            write_predictions(f"{scenario}-direct-123", ["Darjeeling", HOSTILE, None, HOSTILE])
            write_predictions(f"{scenario}-tft-123", ["Assam", HOSTILE, "Assam", HOSTILE])
            write_curation(scenario, ["direct", "tft"])
        used = {"requests": 3, "prompt_tokens": 1200, "completion_tokens": 45, "cost": 0.5}
        asked = {"llm": {"filter@low_data": {"glm-5": used | {"refusals": {"cut off": 1}}}}}
        write_json(Path("data/filtered/low_data/summary.json"), CURATION["filter"] | asked)
        asked = {"llm": {"label_test": {"glm-5": used | {"cost": None, "refusals": {}}}}}
        asked["labeled_by"] = "machine: llm filter, rules relabel"
        write_json(Path("data/test/summary.json"), asked)
        for name, seconds in TIMES.items():
            noted = {"seconds": seconds, "measured": f"2026-11-25T16:{seconds % 60:02}"}
            write_json(Path(f"reports/times/{name}.json"), noted)
        write_json(Path("data/teacher/summary.json"), {"role": "llm", "judge": 0.5})
        write_experiments()
        write_policies(TESTS, [TRACE])
        run_stages("judge", "score", "report")
    yield root


def write_predictions(
    cell: str, answers: list[str | None], folder: str = "predictions/students"
) -> None:
    """Orders and messages in turn, the last again and again; None is an answer without a call."""
    turns = [(one.id, index, call) for one in TESTS for index, call in one.turns()]
    answers = answers + answers[-1:] * (len(turns) - len(answers))
    rows = []
    for (name, index, call), answer in zip(turns, answers, strict=True):
        key = "message" if call.name == RESPOND else "kind"
        rows.append(
            {
                "conversation": name,
                "turn": index,
                "raw": HOSTILE if answer is None else f"{call.name} {answer}",
                "name": None if answer is None else call.name,
                "arguments": None if answer is None else json.dumps({key: answer}),
                "error": "no call" if answer is None else None,
                "finish_reason": "stop",
            }
        )
    write_rows(Path(f"data/{folder}/{cell}.parquet"), PREDICTIONS, rows)


class Page(HTMLParser):
    """Elements, links, cells of tables and the scripts' contents, as an HTML parser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.within = ""
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.within = tag

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, text: str) -> None:
        self.texts.setdefault(self.within, []).append(text)

    def script(self, name: str) -> Any:
        scripts = [attributes for tag, attributes in self.tags if tag == "script"]
        place = [attributes.get("id") for attributes in scripts].index(name)
        return json.loads(self.texts["script"][place])


@pytest.fixture(scope="module")
def page(project: Path) -> Page:
    return Page((project / "reports/index.html").read_text(encoding="utf-8"))


def test_no_text_can_end_the_page_s_script(page: Page) -> None:
    assert [tag for tag, _ in page.tags].count("script") == len(page.texts["script"]) == 5
    data = page.script("data")
    assert data["conversations"][1][1][0] == f"Assam {HOSTILE}"
    cells = {cell["cell"]: cell for cell in data["cells"]}
    assert cells["base"]["answers"][0][0] == [HOSTILE]
    assert cells["low_data-tft"]["answers"][1][0] == [RESPOND, {"message": HOSTILE}]


def test_the_page_loads_nothing_from_elsewhere(page: Page) -> None:
    policies = [one["content"] for _, one in page.tags if "http-equiv" in one]
    assert policies and policies[0].startswith("default-src 'none'; ")
    assert not [one for _, one in page.tags if "src" in one]
    assert not [text for text in page.texts["code"] if "//" in text]
    links = [str(one["href"]) for tag, one in page.tags if tag in {"a", "link"}]
    assert links and all(link.startswith("#") for link in links)


def test_scores_link_to_their_turns(page: Page) -> None:
    links = [one["href"] for tag, one in page.tags if tag == "a"]
    for query in (
        "#scenario=low_data&pipeline=tft",
        "#scenario=low_data&pipeline=direct&answer=0",
        "#scenario=low_data&pipeline=direct&tool=service",
        "#scenario=low_data&verdicts=tft+direct",
        "#scenario=low_data&pipeline=tft&tool=OrderTea",
        "#scenario=%28no+training%29&pipeline=%28untuned+student%29",
        "#scenario=low_data&pipeline=tft&conversation=tea",
    ):
        assert query in links


def test_the_page_names_only_files_that_stages_write(page: Page, beyond: Page) -> None:
    files = (ROOT / "dvc.yaml", *ROOT.glob("experiments/*/dvc.yaml"))
    stages = [stage for file in files for stage in YAML(typ="safe").load(file)["stages"].values()]
    outs = [out for stage in stages for key in ("outs", "plots") for out in stage.get(key, [])]
    written = {
        re.sub(r"\$\{item\.(\w)\w*\}", lambda found: found[1].upper(), path).replace(
            "S-P-S", "S-P-N"
        )
        for path in (out if isinstance(out, str) else next(iter(out)) for out in outs)
    }
    # No outputs of DVC: times differ from run to run, and experiments declare none.
    written |= {"reports/times", "experiments/robustness/scores"}
    named = [text for one in (page, beyond) for text in one.texts["code"]]
    places = ("data/", "metrics/", "reports/", "experiments/")
    named = [text for text in named if text.startswith(places) and "times" not in text]
    assert len(named) > 20
    for path in named:
        text = path.replace("data/P", "data/tft").replace("STAGE.json", "teacher.json")
        for scenario in SCENARIOS:
            text = text.replace(f"/{scenario}/", "/S/")
        text = text.replace("STAGE", "filter")
        if text.startswith("experiments/") and (ROOT / text).is_file():
            continue  # shipped
        assert {text, *map(str, Path(text).parents)} & written, path


def test_the_command_beside_a_pair_names_its_training_conversation(page: Page) -> None:
    assert "tft explain tft/low_data/tft-00001" in page.texts["code"]
    assert "tft explain direct/low_data/logged" in page.texts["code"]


def test_every_answer_has_its_verdict_and_what_was_trained_on(page: Page) -> None:
    cells = {cell["cell"]: cell for cell in page.script("data")["cells"]}
    assert {len(cell["answers"]) for cell in cells.values()} == {TURNS}
    prediction, staged, good, reason, _, near = cells["noisy_labels-direct"]["answers"][0]
    assert (prediction, staged, good) == (["OrderTea", {"kind": "Darjeeling"}], 0.75, False)
    assert reason
    assert [row[1:] for row in near] == [["logged", 1]]
    assert cells["noisy_labels-direct"]["folder"] == "direct/noisy_labels"
    assert cells["noisy_labels-direct"]["training"]["logged"] == {
        "lineage": {"file": "teas.json"},
        "turns": {
            "1": {
                "said": ["", "A pot of Darjeeling, please"],
                "call": [RESPOND, {"message": HOSTILE}],
                "changes": [{"message": 1, "kind": "swapped"}],
            }
        },
    }
    assert cells["noisy_labels-tft"]["answers"][0][5] == [[1.0, "tft-00001", 1]]
    assert cells["base"]["answers"][0][5] == []
    assert cells["teacher"]["answers"][1][0] == [RESPOND, {"message": "Coming."}]
    assert cells["teacher"]["pipeline"] == "(teacher)"


def test_charts_contain_this_run_and_the_published_one(page: Page, project: Path) -> None:
    specs = page.script("charts")
    drawn = {"delta", "confusion", "arguments", "by-turn", "by-length", "loss", "times"}
    assert set(specs) == drawn
    rows = specs["delta"]["layer"][-1]["data"]["values"]
    assert len(rows) == 2 * len(SCENARIOS)
    assert rows[1] == {
        "scenario": "baseline", "source": "published",
        "difference": 0.002, "low": 0.002, "high": 0.002,
    }  # fmt: skip
    plotted = (project / "reports/delta.csv").read_text().splitlines()
    assert plotted[:1] == ["scenario,source,difference,low,high"]
    assert plotted[2] == "baseline,published,0.002,0.002,0.002"
    rows = specs["confusion"]["data"]["values"]
    of_cell = [row for row in rows if row["cell"] == "baseline-direct"]
    told = {(row["reference"], row["predicted"]): (row["turns"], row["share"]) for row in of_cell}
    assert told == {
        ("OrderTea", "OrderTea"): (1, 0.5),
        ("OrderTea", "(no call)"): (1, 0.5),
        (RESPOND, RESPOND): (6, 1.0),
    }
    assert rows[0]["query"].keys() == {"scenario", "pipeline", "tool", "predicted"}


def test_charts_contain_only_this_run_when_nothing_is_published() -> None:
    comparison = {"own": {"difference": 0.25, "interval": None}}
    assert delta_rows(comparison) == [
        {"scenario": "own", "source": "this run", "difference": 0.25, "low": 0.25, "high": 0.25}
    ]


def test_the_page_shows_scores_by_tool(page: Page) -> None:
    told = " | ".join(page.texts["td"] + page.texts["a"])
    assert "OrderTea (2 turns), judge" in page.texts["th"]
    # Of the two orders of direct one is another tea and one no call; what both say is the same.
    links = [(text, one["href"]) for text, one in zip(page.texts["a"], anchors(page), strict=True)]
    by_tool = [text for text, href in links if href and "low_data&pipeline=direct&tool=O" in href]
    assert by_tool == ["0.000", "0.000"], told
    by_tool = [text for text, href in links if href and "low_data&pipeline=tft&tool=O" in href]
    assert by_tool == ["1.000", "1.000"]


def anchors(page: Page) -> list[dict[str, str | None]]:
    return [one for tag, one in page.tags if tag == "a"]


def test_the_page_shows_the_overlap_of_training_and_tests(page: Page) -> None:
    told = " | ".join(page.texts["td"])
    # MADE has five of six utterances, no message, and the one kind of tea.
    assert "| 0.833 | 0.000 | 1.000 | noisy_labels | direct |" in told
    assert page.texts["th"][-1] != "kind"
    assert "kind" in page.texts["th"]
    assert [text for text in page.texts["p"] if "without the agent's calls" in text]


def test_the_page_says_at_the_top_when_a_machine_labeled_the_tests(page: Page) -> None:
    assert [text for text in page.texts["p"] if "machine: llm filter, rules relabel" in text]


def test_the_page_shows_curation_counts_and_costs(page: Page) -> None:
    told = " | ".join(page.texts["td"])
    assert "baseline | 9 | 8 | 7 | 2 | 5 | 3 | 0.500 | 0.750" in told
    assert "as logged | 20 | valid | 3 | torn | 2" in told
    assert "filter@low_data | glm-5 | 3 | 1,200 | 45 | 1 | 0.50" in told
    assert "label_test | glm-5 | 3 | 1,200 | 45 | 0" in told


def test_the_page_shows_times_of_the_stages_of_this_run(page: Page, project: Path) -> None:
    told = " | ".join(page.texts["td"])
    assert (
        "finetune | 2 | 3.5 | 2.0 | 2026-11-25 16:00 to 2026-11-25 16:30 | split | 1 | 0.5" in told
    )
    assert "corrupt" not in told  # of a scenario that is not run
    bars = page.script("charts")["times"]["data"]["values"]
    assert [(bar["stage"], bar["item"], bar["minutes"]) for bar in bars] == [
        ("finetune", "low_data-direct-123", 2.0), ("finetune", "low_data-tft-123", 1.5),
        ("split", "", 0.5),
    ]  # fmt: skip


MEASURED = {"judge": 0.5, "service_call_exact": None, "name_accuracy": 1.0, "staged_tool_call": 1.0}
BEYOND = {
    "robustness": {
        "seed": 123,
        "cells": {
            cell: {
                "original": MEASURED | {"judge": 0.75},
                "variants": {"v1": MEASURED, "v2": MEASURED},
                "reworded": MEASURED,
                "deviation": dict.fromkeys(MEASURED, 0.125) | {"service_call_exact": None},
                "sensitivity": {"judge": 0.25},
            }
            for cell in ("base", "low_data-direct", "low_data-tft")
        },
        "comparison": {},
    },
    "sweep": {
        "low_data": {
            "dose": "scenarios.low_data.traces",
            "corpus": "builtin",
            "student": "tiny",
            "judged_by": "a judge",
            "rows": [
                {"dose": dose, "pipeline": pipeline, "n": 4, "judge": 0.5,
                 "service_call_exact": 0.25,
                 "intervals": {"judge": [0.25, 0.75], "service_call_exact": None}}
                for dose in (5, 80)
                for pipeline in ("direct", "tft")
            ],
        }
    },
}  # fmt: skip


@pytest.fixture
def beyond(project: Path) -> Iterator[Page]:
    """The page of a run that went beyond the benchmark."""
    with chdir(project):
        for name, metrics in BEYOND.items():
            write_json(Path(f"experiments/{name}/{name}.json"), metrics)
        assert run_stage("report").exit_code == 0
        yield Page(Path("reports/index.html").read_text(encoding="utf-8"))
        for name in BEYOND:
            write_json(Path(f"experiments/{name}/{name}.json"), {})
        assert run_stage("report").exit_code == 0


def test_the_page_draws_robustness_and_sweep_when_they_were_run(beyond: Page, page: Page) -> None:
    told = " | ".join(beyond.texts["td"])
    assert "low_data | tft | 0.500 ± 0.125 | 1.000 ± 0.125" in told  # between them links
    specs = beyond.script("charts")
    added = {"robustness-judge", "robustness-service_call_exact",
             "sweep-low_data-judge", "sweep-low_data-service_call_exact"}  # fmt: skip
    assert specs.keys() - page.script("charts").keys() == added
    places = {attributes.get("id") for tag, attributes in beyond.tags if tag == "figure"}
    assert places == {f"chart-{name}" for name in specs}
    rows = specs["robustness-judge"]["data"]["values"]
    told = [
        (one["names"], one["score"], "query" in one) for one in rows if one["pipeline"] == "tft"
    ]
    assert told == [
        ("original", 0.75, True), ("v1", 0.5, False), ("v2", 0.5, False),
    ]  # fmt: skip
    rows = specs["sweep-low_data-judge"]["data"]["values"]
    assert rows[-1] == {"dose": 80, "pipeline": "tft", "score": 0.5, "low": 0.25, "high": 0.75}
    plotted = Path("reports/robustness.csv").read_text().splitlines()
    assert plotted[0] == "scenario,pipeline,names,measure,score"
    assert "low_data,tft,original,judge,0.75" in plotted
    plotted = Path("reports/sweep.csv").read_text().splitlines()
    assert plotted[0] == "param,dose,pipeline,measure,score,low,high"
    assert "scenarios.low_data.traces,80,tft,judge,0.5,0.25,0.75" in plotted
    assert "scenarios.low_data.traces,80,tft,service calls exact,0.25,0.25,0.25" in plotted
    assert "dvc exp apply sweep-low_data-80" in beyond.texts["code"]
    links = [
        text
        for text, one in zip(beyond.texts["a"], anchors(beyond), strict=True)
        if one["href"] == "#scenario=low_data&pipeline=tft"
    ]
    assert "0.750" in links  # under the original names
    assert "Beyond the benchmark" not in " ".join(page.texts["a"] + page.texts["h2"])


def test_a_sweep_of_another_run_is_not_drawn(project: Path) -> None:
    with chdir(project):
        of_another = BEYOND["sweep"]["low_data"] | {"corpus": "sgd"}
        write_json(Path("experiments/sweep/sweep.json"), {"low_data": of_another})
        assert run_stage("report").exit_code == 0
        told = Path("reports/index.html").read_text(encoding="utf-8")
        write_json(Path("experiments/sweep/sweep.json"), {})
        assert run_stage("report").exit_code == 0
    assert "dose and response" not in told
    assert "chart-sweep" not in told


def test_the_page_is_reproducible_and_errors_name_missing_files(project: Path) -> None:
    with chdir(project):
        made = Path("reports/index.html")
        before = made.read_bytes()
        made.unlink()
        for missing, stage in (
            ("data/scores/breakdown/low_data-tft-123.json", "score"),
            ("data/audit/low_data.json", "audit"),
            ("reports/loss/low_data-tft-123.csv", "finetune"),
        ):
            hidden = Path(missing).rename("hidden")
            done = run_stage("report")
            hidden.rename(missing)
            assert done.exit_code == 1
            assert f"{missing}: no such file; `dvc repro {stage}` makes it" in done.output
            assert not made.exists()
        assert run_stage("report").exit_code == 0
        assert made.read_bytes() == before


def test_the_page_shows_the_first_of_several_seeds(project: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(project, tmp_path / "seeds"))
    content = YAML(typ="safe").load(root / "params.yaml")
    YAML().dump(content | {"training_seeds": [123, 7]}, root / "params.yaml")
    with chdir(root):
        for scenario in SCENARIOS:
            write_predictions(f"{scenario}-direct-7", ["Assam", HOSTILE, "Assam", HOSTILE])
            write_predictions(f"{scenario}-tft-7", ["Assam", HOSTILE, "Assam", HOSTILE])
        run_stages("judge", "score", "report")
    page, before = (
        Page((one / "reports/index.html").read_text(encoding="utf-8")) for one in (root, project)
    )
    assert page.script("data") == before.script("data")
    told = [text for text in page.texts["p"] if "first training seed, 123" in text]
    assert len(told) == 2
    assert page.texts["th"].count("between 2 seeds") == 2
    assert "between 2 seeds" not in before.texts["th"]


# --- training turns like a test turn -----------------------------------------------------------
@given(st.lists(conversations(), min_size=1, max_size=4, unique_by=lambda one: one.id))
def test_a_training_turn_is_its_own_nearest_neighbor(training: list[Conversation]) -> None:
    turns = [(one, index) for one in training for index, _ in one.turns()]
    if not turns:
        return
    found = nearest(training, training, keep=2)
    assert len(found) == len(turns)
    for (one, index), near in zip(turns, found, strict=True):
        assert near[0].similarity == pytest.approx(1)
        best = said(near[0].conversation.messages, near[0].message)
        assert best == said(one.messages, index)
        assert len({other.conversation.id for other in near}) == len(near) <= 2
        assert near == sorted(near, key=lambda other: -other.similarity)


def test_changes_of_a_turn_are_shown_apart_from_those_of_its_conversation() -> None:
    assert lineage(TRACE) == {"file": "teas.json"}
    assert changes(TRACE, 1) == [{"message": 1, "kind": "swapped"}]
    assert lineage(MADE) == {"exemplars": ["logged", "other"]}
    assert changes(MADE, 1) == []


# --- in a browser -------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def chromium(project: Path) -> Iterator[webdriver.Chrome]:
    what = "a browser (apt-get install chromium chromium-driver)"
    binary, driver = (
        str(needed(Path(shutil.which(name) or f"/usr/bin/{name}"), what))
        for name in ("chromium", "chromedriver")
    )
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture
def opened(chromium: webdriver.Chrome, project: Path) -> webdriver.Chrome:
    """The page, newly loaded, with all charts drawn."""
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.get("about:blank")
    chromium.get((project / "reports/index.html").as_uri())
    wait(chromium, lambda: len(chromium.find_elements(By.CSS_SELECTOR, "figure svg")) == CHARTS)
    return chromium


def wait(browser: webdriver.Chrome, condition: Any) -> None:
    WebDriverWait(browser, 60).until(lambda _: condition())


def choose(browser: webdriver.Chrome, **filters: str) -> str:
    """Set filters by their values; what the browser counts then."""
    for name, value in filters.items():
        Select(browser.find_element(By.NAME, name)).select_by_value(value)
    return browser.find_element(By.ID, "count").text


def test_the_page_loads_without_errors_and_without_network(opened: webdriver.Chrome) -> None:
    assert opened.get_log("browser") == []
    assert opened.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert opened.title.startswith("Benchmark: corpus builtin")


ALL = (len(SCENARIOS) + 1) * TURNS


def test_filters_show_the_number_of_remaining_turns(opened: webdriver.Chrome) -> None:
    groups = len(SCENARIOS) + 1
    assert choose(opened).startswith(f"{ALL} of {ALL} turns: ")
    told = choose(opened, scenario="low_data", pipeline="direct")
    assert told.startswith(f"{TURNS} of {ALL} turns: ")
    told = choose(opened, answer="0")
    assert told == f"1 of {ALL} turns: direct bad 1"
    assert len(opened.find_elements(By.CSS_SELECTOR, "#list .turn")) == 1
    assert choose(opened, verdict="good") == f"0 of {ALL} turns"
    told = choose(opened, pipeline="", answer="", verdict="", verdicts="only tft", tool="OrderTea")
    assert told == f"2 of {ALL} turns: direct bad 2, tft good 2"
    assert "verdicts=only+tft" in opened.current_url
    # On what the order is, students of one scenario disagree, and policies that need no training.
    told = choose(opened, verdicts="tft direct")
    assert told == f"2 of {ALL} turns: direct bad 2, tft good 2"
    untrained = choose(opened, scenario="(no training)", verdicts="differ")
    assert untrained.startswith(f"2 of {ALL} turns: ")
    assert choose(opened, verdicts="tft direct") == f"0 of {ALL} turns"
    reset(opened)
    told = choose(opened, argument="kind")
    assert told.startswith(f"{2 * groups} of {ALL} turns: ")
    choose(opened, scenario="low_data")
    assert choose(opened, outcome="right") == f"2 of {ALL} turns: tft good 2"
    assert choose(opened, outcome="wrong") == f"1 of {ALL} turns: direct bad 1"
    assert choose(opened, argument="") == f"1 of {ALL} turns: direct bad 1"
    assert choose(opened, outcome="missing") == f"0 of {ALL} turns"
    reset(opened)
    choose(opened, scenario="low_data", pipeline="tft")
    assert choose(opened, turn="4-6").startswith(f"1 of {ALL} turns: ")
    assert choose(opened, turn="1-3").startswith(f"7 of {ALL} turns: ")
    assert choose(opened, long="4-6").startswith(f"3 of {ALL} turns: ")
    assert choose(opened, turn="", conversation="wait").startswith(f"4 of {ALL} turns: ")
    assert choose(opened, long="1-3") == f"0 of {ALL} turns"
    reset(opened)


def reset(browser: webdriver.Chrome) -> None:
    browser.find_element(By.CSS_SELECTOR, "#filters [type=reset]").click()
    wait(browser, lambda: choose(browser).startswith(f"{ALL} of"))


def test_a_click_on_a_number_filters(opened: webdriver.Chrome) -> None:
    link = "[href='#scenario=low_data&pipeline=direct&answer=0']"
    opened.find_element(By.CSS_SELECTOR, link).click()
    wait(opened, lambda: choose(opened).startswith("1 of"))
    chosen = Select(opened.find_element(By.NAME, "scenario")).first_selected_option.text
    assert chosen == "low_data"
    # The test conversation that a training conversation is most alike.
    link = "[href='#scenario=low_data&pipeline=tft&conversation=tea']"
    opened.find_element(By.CSS_SELECTOR, link).click()
    wait(opened, lambda: choose(opened).startswith(f"2 of {ALL} turns: tft "))


MARKS = {  # by what they look like: how many, and which turns the first shows
    "#chart-confusion .mark-rect path": (3, "tool=OrderTea&predicted=none", "1 of"),
    "#chart-arguments .mark-rect path": (1, "tool=OrderTea&argument=kind&outcome=wrong", "1 of"),
    "#chart-by-turn .mark-symbol.layer_1_marks path": (4, "turn=1-3", "7 of"),
    "#chart-by-length .mark-symbol.layer_1_marks path": (4, "long=1-3", "4 of"),
}


@pytest.mark.parametrize("mark", MARKS)
def test_a_click_on_a_mark_of_a_chart_shows_its_turns(opened: webdriver.Chrome, mark: str) -> None:
    number, query, told = MARKS[mark]
    marks = opened.find_elements(By.CSS_SELECTOR, mark)
    assert len(marks) == number
    click(opened, marks[0])
    address = f"#scenario=baseline&pipeline=direct&{query}"
    wait(opened, lambda: opened.current_url.endswith(address))
    assert choose(opened).startswith(f"{told} {ALL} turns: direct ")
    assert opened.get_log("browser") == []


def test_a_click_on_a_mark_without_turns_does_nothing(opened: webdriver.Chrome) -> None:
    before = opened.current_url
    for mark in ("#chart-by-turn .mark-line path", "#chart-loss .mark-line path",
                 "#chart-times .mark-rect path"):  # fmt: skip
        click(opened, opened.find_element(By.CSS_SELECTOR, mark))
    points = opened.find_elements(
        By.CSS_SELECTOR,
        "#chart-delta .mark-symbol[aria-roledescription='symbol mark container'] path",
    )
    assert opened.current_url == before
    for point in points[:2]:  # of this run, as published
        click(opened, point)
    wait(opened, lambda: opened.current_url != before)
    assert opened.current_url.endswith("#scenario=baseline&verdicts=tft+direct")


def click(browser: webdriver.Chrome, mark: Any) -> None:
    browser.execute_script(
        "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", mark
    )


def test_a_turn_shows_its_texts_as_they_are(opened: webdriver.Chrome) -> None:
    choose(opened, scenario="low_data", tool="OrderTea")
    turn = opened.find_elements(By.CSS_SELECTOR, "#list .turn")[1]
    turn.find_element(By.TAG_NAME, "summary").click()
    wait(opened, lambda: turn.find_elements(By.CSS_SELECTOR, ".body"))
    text = opened.execute_script("return arguments[0].textContent", turn)
    for part in (
        f"Assam {HOSTILE}",
        "kind: Assam",
        "logged",
        "changed:",
        "exemplars",
        "0.",
        HOSTILE,
    ):
        assert part in text
    assert "tft explain tft/low_data/tft-00001" in text
    assert not turn.find_elements(By.CSS_SELECTOR, "script, .body b b")
    assert opened.title.startswith("Benchmark")


def test_charts_follow_the_chosen_cell(opened: webdriver.Chrome) -> None:
    def tiles() -> int:
        return len(opened.find_elements(By.CSS_SELECTOR, "#chart-confusion .mark-rect path"))

    before = tiles()
    Select(opened.find_element(By.ID, "cell")).select_by_value("baseline-tft")
    wait(opened, lambda: tiles() == 2 != before)


def test_page_and_charts_have_a_dark_mode(opened: webdriver.Chrome) -> None:
    colours = """
        const label = document.querySelector("#chart-loss .role-axis-label text");
        return [getComputedStyle(document.body).backgroundColor, label?.getAttribute("fill")];
    """
    light = opened.execute_script(colours)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    wait(
        opened,
        lambda: all(a != b for a, b in zip(light, opened.execute_script(colours), strict=True)),
    )
    assert opened.get_log("browser") == []


def test_the_page_fits_the_screen_of_a_phone(opened: webdriver.Chrome) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    opened.refresh()
    wait(opened, lambda: len(opened.find_elements(By.CSS_SELECTOR, "figure svg")) == CHARTS)
    opened.find_element(By.CSS_SELECTOR, "#list .turn summary").click()
    wait(opened, lambda: opened.find_elements(By.CSS_SELECTOR, "#list .body"))
    assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
