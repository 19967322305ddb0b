"""`python -m tft explain`: the way back of rows kept and rejected, through the command."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from fixtures.repository import ROOT

from tft.cli import main
from tft.core.conversation import Conversation, Message, assistant, canonical_json, user
from tft.core.tables import (
    DECISIONS,
    DRAFTS,
    RELEVANCE,
    message_rows,
    read_rows,
    write_conversations,
    write_rows,
)
from tft.core.task import RESPOND

Row = dict[str, object]

SCENARIO = "noisy_labels"
PLAN = {
    "exemplars": ["dev/boat-1", "dev/boat-2"],
    "context": ["dev/boat-3"],
    "mutations": {"length": "short: 9 to 13 messages"},
}
WRONG, RIGHT = {"harbour": "Nowhere"}, {"harbour": "Old Lock"}


def trace(number: int, arguments: dict[str, str]) -> Conversation:
    messages = (
        user("A boat at Old Lock."),
        assistant("FindBoats", arguments),
        user('[{"boat_name": "Curlew"}]'),
        assistant(RESPOND, {"message": f"The Curlew is free, {number} times."}),
    )
    provenance = {"file": f"log-{number}", "changes": [{"message": 1, "kind": "swap_params"}]}
    return Conversation(f"dev/boat-{number}", "boats", messages, provenance)


def decision(number: int, turn: int, name: str | None, arguments: object, reason: str) -> Row:
    return {
        "conversation": f"dev/boat-{number}",
        "turn": turn,
        "name": name,
        "arguments": name and canonical_json(arguments),
        "reason": reason,
        "votes": canonical_json(
            {"hindsight": ["FindBoats", RIGHT], "schema": ["", {}], "state": None}
        ),
        "kept": number < 4,
    }


def draft(name: str, reason: str, messages: tuple[Message, ...] | None = None) -> Row:
    plan = {key: canonical_json(value) for key, value in PLAN.items()}
    rows = message_rows(messages) if messages else None
    kept = reason == "valid"
    return {"conversation": name, **plan, "kept": kept, "reason": reason, "messages": rows}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Boats 1 to 4 pass the filter, 5 does not; 1 to 3 are relabelled, 1 and 2 shown."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    folder = tmp_path / "data"
    logged = [trace(number, WRONG) for number in range(1, 6)]
    write_conversations(folder / "direct" / SCENARIO / "train.parquet", logged)

    scores = [
        {"conversation": one.id, "relevance": number, "coherence": 6 - number, "kept": number < 5,
         "reason": f"because of {number}"}
        for number, one in enumerate(logged, 1)
    ]  # fmt: skip
    write_rows(folder / "filtered" / SCENARIO / "scores.parquet", RELEVANCE, scores)

    decisions = [
        decision(number, *rest)
        for number in (1, 2, 3)
        for rest in (
            (1, "FindBoats", RIGHT, "from the result"),
            (3, RESPOND, {"message": f"The Curlew is free, {number} times."}, "talk, as logged"),
        )
    ]
    decisions.append(decision(4, 1, None, None, "nobody knows"))
    write_rows(folder / "relabeled" / SCENARIO / "decisions.parquet", DECISIONS, decisions)
    relabelled = [trace(number, RIGHT) for number in (1, 2, 3)]
    write_conversations(folder / "relabeled" / SCENARIO / "train.parquet", relabelled)

    made = Conversation(
        "tft-00001",
        "synthetic",
        (user("Is the Gull\x1b[2J free?"), assistant(RESPOND, {"message": "Yes." + "!" * 200})),
        {**PLAN, "flow": ["dev/boat-2"]},
    )
    write_conversations(folder / "tft" / SCENARIO / "train.parquet", [made])
    drafts = [
        draft("tft-00001", "valid"),
        draft("tft-00002", "order: it does not end with talk", (user("Hello? Hello?"),)),
        draft("tft-00003", "no conversation: the answer was no JSON"),
    ]
    write_rows(folder / "tft" / SCENARIO / "drafts.parquet", DRAFTS, drafts)
    return folder


def explain(row: str) -> list[str]:
    result = CliRunner().invoke(main, ["explain", row], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def refused(row: str) -> str:
    result = CliRunner().invoke(main, ["explain", row], catch_exceptions=False)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    return result.output


RELABELLED = [
    "Relabeling: kept, 1 of 2 turns changed",
    "  turn 1: from the result",
    '    logged: FindBoats {"harbour": "Nowhere"}',
    '    chosen: FindBoats {"harbour": "Old Lock"}',
    '    hindsight voted: FindBoats {"harbour": "Old Lock"}',
    "    schema voted: a service, whichever it was",
    "    state voted: nothing",
    "  1 left as logged, undisputed: talk, as logged",
]


def way(number: int) -> list[str]:
    """What is told of a relabelled boat after its messages."""
    return [
        *RELABELLED,
        f"Filter: kept, relevance {number}, coherence {6 - number}: because of {number}",
        "Logged: 4 messages of boats",
        "  changes:",
        '    {"kind": "swap_params", "message": 1}',
        f"  file: log-{number}",
    ]


@pytest.mark.usefixtures("data")
def test_a_synthetic_row_leads_back_to_the_logged_traces() -> None:
    said = 'respond_to_user {"message": "Yes.' + "!" * 200
    assert explain("tft/noisy_labels/tft-00001") == [
        "tft/noisy_labels/tft-00001",
        "Messages as generated: 2",
        "    0 user      Is the Gull\\x1b[2J free?",
        f"    1 assistant {said[:117]}...",
        "Validation: kept: valid",
        "Mutations",
        "  length: short: 9 to 13 messages",
        "Generation",
        '  flow: ["dev/boat-2"]',
        "Exemplar 1 of 2: dev/boat-1",
        *(f"  {line}" for line in way(1)),
        "Exemplar 2 of 2: dev/boat-2",
        *(f"  {line}" for line in way(2)),
        "Context 1 of 1, as it was logged: dev/boat-3",
        "  Filter: kept, relevance 3, coherence 3: because of 3",
    ]


@pytest.mark.usefixtures("data")
def test_a_rejected_draft_is_explained_with_its_reason() -> None:
    lines = explain("tft/noisy_labels/tft-00002")
    assert lines[1:4] == [
        "Messages as generated: 1",
        "    0 user      Hello? Hello?",
        "Validation: rejected: order: it does not end with talk",
    ]
    assert lines[6:] == explain("tft/noisy_labels/tft-00001")[9:]
    lines = explain("tft/noisy_labels/tft-00003")
    assert lines[2] == "Validation: rejected: no conversation: the answer was no JSON"


@pytest.mark.usefixtures("data")
def test_a_relabeled_trace_is_shown_with_its_new_calls() -> None:
    lines = explain("relabeled/noisy_labels/dev/boat-2")
    assert lines[1] == "Messages as relabeled: 4"
    assert lines[3] == '    1 assistant FindBoats {"harbour": "Old Lock"}'
    assert lines[6:] == way(2)


def test_a_disputed_turn_is_explained_with_its_votes(data: Path) -> None:
    path = data / "relabeled" / SCENARIO / "decisions.parquet"
    rows = read_rows(path, DECISIONS)
    disputed = next(r for r in rows if (r["conversation"], r["turn"]) == ("dev/boat-2", 3))
    disputed["votes"] = canonical_json({"one": [RESPOND, {}], "other": ["FindBoats", RIGHT]})
    write_rows(path, DECISIONS, rows)
    said = 'respond_to_user {"message": "The Curlew is free, 2 times."}'
    assert explain("relabeled/noisy_labels/dev/boat-2")[13:18] == [
        "  turn 3: talk, as logged",
        f"    logged: {said}",
        f"    chosen: {said}",
        "    one voted: respond_to_user {}",
        '    other voted: FindBoats {"harbour": "Old Lock"}',
    ]


@pytest.mark.usefixtures("data")
def test_a_trace_rejected_by_relabeling_is_explained_with_its_votes() -> None:
    lines = explain("relabeled/noisy_labels/dev/boat-4")
    assert lines[1] == "Messages as logged: 4"
    assert lines[6:13] == [
        "Relabeling: rejected, 1 of 1 turns changed",
        "  turn 1: nobody knows",
        '    logged: FindBoats {"harbour": "Nowhere"}',
        "    chosen: nothing",
        '    hindsight voted: FindBoats {"harbour": "Old Lock"}',
        "    schema voted: a service, whichever it was",
        "    state voted: nothing",
    ]


@pytest.mark.usefixtures("data")
def test_a_trace_that_the_filter_rejected_is_explained_from_any_later_step() -> None:
    told = ["Filter: rejected, relevance 5, coherence 1: because of 5", *way(5)[-4:]]
    assert explain("filtered/noisy_labels/dev/boat-5")[6:] == told
    assert explain("relabeled/noisy_labels/dev/boat-5")[6:] == [
        "Relabeling: nothing decided, the trace did not come this far",
        *told,
    ]


def test_a_logged_trace_needs_no_other_table(data: Path) -> None:
    for pipeline in ("filtered", "relabeled", "tft"):
        shutil.rmtree(data / pipeline)
    lines = explain("direct/noisy_labels/dev/boat-1")
    assert lines[3] == '    1 assistant FindBoats {"harbour": "Nowhere"}'
    assert lines[6:] == way(1)[-4:]


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("tft", "pipelines: direct, filtered, relabeled, tft; scenarios: baseline, noisy_labels"),
        ("magic/noisy_labels/x", "pipelines: direct, filtered, relabeled, tft"),
        ("tft/noisy_labels/", "PIPELINE/SCENARIO/ID"),
        ("tft/noise/tft-00001", "unknown scenario 'noise'; params.yaml runs: baseline"),
        ("tft/noisy_labels/tft-9002", "no row 'tft-9002' among 3; closest: tft-00002"),
        ("direct/noisy_labels/boat-5", "no row 'boat-5' among 5; closest: dev/boat-5"),
    ],
)
def test_an_error_about_an_unknown_row_lists_the_known_tables(row: str, told: str) -> None:
    assert told in refused(row)


def test_an_error_about_a_missing_table_names_the_stage_that_makes_it(data: Path) -> None:
    (data / "filtered" / SCENARIO / "scores.parquet").unlink()
    expected = "data/filtered/noisy_labels/scores.parquet: no such file; `dvc repro` makes it"
    assert expected in refused("tft/noisy_labels/tft-00001")


def test_a_draft_kept_but_not_in_train_is_an_error(data: Path) -> None:
    write_conversations(data / "tft" / SCENARIO / "train.parquet", [trace(1, RIGHT)])
    assert "train.parquet: no row 'tft-00001'" in refused("tft/noisy_labels/tft-00001")


def test_explain_runs_as_a_module(data: Path) -> None:
    command = [sys.executable, "-m", "tft.cli", "explain", "direct/noisy_labels/dev/boat-9"]
    done = subprocess.run(command, cwd=data.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: data/direct/noisy_labels: no row 'dev/boat-9'")
