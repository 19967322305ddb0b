"""The stage that generates conversations, by its own command: what it writes and where it stops."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from fixtures.rental import SEEDS, TASK
from fixtures.repository import ROOT, run_stage
from ruamel.yaml import YAML

from tft.core.tables import (
    CONVERSATIONS,
    DRAFTS,
    read_conversations,
    read_rows,
    write_conversations,
)
from tft.core.task import write_task
from tft.synthesize.validate import copies_of

FOLDER = Path("data/tft/baseline")
METRICS = Path("data/tft/baseline/summary.json")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables of 24 boats' traces, 6 of which become seeds; a test set of nothing alike."""
    monkeypatch.chdir(tmp_path)
    for step in ("filtered", "relabeled"):
        write_conversations(Path("data") / step / "baseline/train.parquet", SEEDS)
    write_conversations(Path("data/test/conversations.parquet"), SEEDS[:1])
    write_task(Path("data/split/task.json"), TASK)
    return tmp_path


def synthesize(**changes: Any) -> Result:
    content = YAML(typ="safe").load(ROOT / "params.yaml")
    section = content["synthesize"]
    section |= {
        "target": 10,
        "batch": 8,
        "rounds": 6,
        "mutations": {"length": ["8 to 14 messages"]},
    }
    section["seed_conversations"]["baseline"] = 6
    validation = section["validation"]
    validation |= dict.fromkeys(
        ("max_similarity_to_seeds", "max_similarity_among", "max_similarity_to_tests"), 1.0
    )
    for key, value in changes.items():
        (validation if key in validation else section)[key] = value
    YAML().dump(content, Path("params.yaml"))
    return run_stage("synthesize", "baseline")


def test_the_target_is_met_exactly_and_every_draft_is_accounted_for(project: Path) -> None:
    done = synthesize()
    assert done.exit_code == 0, done.output
    kept = read_conversations(FOLDER / "train.parquet")
    drafts = read_rows(FOLDER / "drafts.parquet", DRAFTS)
    metrics = json.loads(METRICS.read_text())
    assert len(kept) == 10 == metrics["kept"]
    assert {one.id for one in kept} == {row["conversation"] for row in drafts if row["kept"]}
    assert len(drafts) == metrics["generated"] == sum(metrics["reasons"].values())
    assert metrics["seeds"] == 6
    assert all(row["messages"] is None for row in drafts if row["kept"])
    seeds = {name for row in drafts for name in json.loads(row["exemplars"])}
    context = {name for row in drafts for name in json.loads(row["context"])}
    assert len(seeds) <= 6
    assert not seeds & context


def test_a_second_run_writes_the_same_bytes(project: Path) -> None:
    synthesize()
    before = {path: path.read_bytes() for path in [*FOLDER.iterdir(), METRICS]}
    synthesize()
    assert before == {path: path.read_bytes() for path in before}


def test_synthesis_stops_with_its_yield_when_the_target_is_out_of_reach(project: Path) -> None:
    done = synthesize(max_characters=1, rounds=2)
    assert done.exit_code == 1
    assert "0 of 10 conversations after 2 rounds, a yield of 0%" in done.output
    assert "'length': 16" in done.output
    assert "synthesize.target" in done.output
    assert not (FOLDER / "train.parquet").exists()
    rejected = read_rows(FOLDER / "drafts.parquet", DRAFTS)
    assert all(row["messages"] and row["reason"].startswith("length: ") for row in rejected)


def test_a_copy_of_a_test_conversation_fails_the_run(project: Path) -> None:
    done = synthesize(max_similarity_to_tests=0.5)
    assert done.exit_code == 1
    assert SEEDS[0].id in done.output
    assert "the traces contain test conversations" in done.output
    assert not (FOLDER / "train.parquet").exists()
    assert copies_of(SEEDS[:3], SEEDS[:1], 0.999) == [(SEEDS[0].id, SEEDS[0].id, 1.0)]


def test_too_few_traces_for_the_exemplars_is_one_clear_error(project: Path) -> None:
    done = synthesize(exemplars=7)
    assert done.exit_code == 1
    assert (
        "synthesize.exemplars: each plan shows 7 seed conversations, but there are only 6"
        in done.output
    )


def test_a_conversation_s_row_says_what_it_was_generated_from(project: Path) -> None:
    synthesize()
    rows = read_rows(FOLDER / "train.parquet", CONVERSATIONS)
    for row in rows:
        provenance = json.loads(row["provenance"])
        assert set(provenance["flow"]) <= {*provenance["exemplars"], *provenance["context"]}
        assert provenance["mutations"] == {"length": "8 to 14 messages"}
