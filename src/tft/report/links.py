"""Links from the numbers of the page to the turns behind them, as settings of its filters."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from markupsafe import Markup

from tft.report.table import CORRECTED, Contamination, Sheet

Query = dict[str, str] | None
"""Settings of filters, by name; None if no turns of the page are behind a number."""
LinkedSheet = tuple[list[str], list[list[tuple[str, Query]]]]
Rows = Sequence[Mapping[str, Any]]

# The filters, beside those of the cell, that select the turns behind a column.
NARROWED = {
    "judge": {},
    CORRECTED: {},
    "staged tool call": {},
    "name accuracy": {},
    "service call exact": {"tool": "service"},
    "n": {},
    "parse failures": {"answer": "0"},
}
NO_CALL = "(no call)"  # as in `evaluation.breakdown`
PAIRS: dict[str, Literal["closest", "closest_without_calls"]] = {
    "most similar": "closest",
    "without calls": "closest_without_calls",
}
"""Columns of the contamination sheet, and the pairs of conversations that they describe."""


# --- tables ------------------------------------------------------------------------------------
def of_cells(sheet: Sheet, places: Iterable[dict[str, str]]) -> LinkedSheet:
    """Link a sheet with one row per cell; `places` are the cells in the order of the rows."""
    head, rows = sheet
    linked = []
    for row, place in zip(rows, places, strict=True):
        queries = [place | NARROWED[name] if name in NARROWED else None for name in head]
        linked.append(list(zip(row, queries, strict=True)))
    return head, linked


def of_comparison(sheet: Sheet, scenarios: Iterable[str]) -> LinkedSheet:
    """Link the comparison of TFT with Direct, which has one row per scenario."""
    head, rows = sheet
    linked = []
    for row, scenario in zip(rows, scenarios, strict=True):
        queries: list[Query] = [None] * len(head)
        for column, query in (
            ("TFT", {"pipeline": "tft"}),
            ("Direct", {"pipeline": "direct"}),
            ("difference", {"verdicts": "tft direct"}),
        ):
            queries[head.index(column)] = {"scenario": scenario, **query}
        linked.append(list(zip(row, queries, strict=True)))
    return head, linked


def of_contamination(sheet: Sheet, contamination: Contamination) -> LinkedSheet:
    """Link the contamination sheet's similarities to the test conversations of the pairs."""
    head, rows = sheet
    linked = []
    for row in rows:
        scenario, pipeline, *_ = row
        pairs = contamination[pipeline][scenario]
        queries = [
            _conversation(scenario, pipeline, pairs[PAIRS[name]]) if name in PAIRS else None
            for name in head
        ]
        linked.append(list(zip(row, queries, strict=True)))
    return head, linked


def closest_pairs(contamination: Contamination, scenarios: Iterable[str]) -> LinkedSheet:
    """A sheet of the most similar pairs: test conversation, and command for the training one."""
    rows: list[list[tuple[str, Query]]] = []
    for scenario in scenarios:
        for pipeline, of_scenarios in contamination.items():
            for name, key in PAIRS.items():
                pair = of_scenarios[scenario][key]
                command = f"tft explain {pipeline}/{scenario}/{pair['training']}"
                rows.append(
                    [
                        *((text, None) for text in (scenario, pipeline, name)),
                        (pair["test"], _conversation(scenario, pipeline, pair)),
                        (Markup("<code>{}</code>").format(command), None),
                    ]
                )
    return ["scenario", "pipeline", "pair", "test conversation", "training conversation"], rows


def _conversation(scenario: str, pipeline: str, pair: Mapping[str, Any]) -> dict[str, str]:
    return {"scenario": scenario, "pipeline": pipeline, "conversation": pair["test"]}


# --- charts ------------------------------------------------------------------------------------
def with_queries(rows: Rows, narrowed: Callable[[Mapping[str, Any]], Query]) -> Rows:
    """Add to each row the `query` of its mark, unless `narrowed` gives None for the row."""
    linked = []
    for row in rows:
        query = narrowed(row)
        place = {key: row[key] for key in ("scenario", "pipeline") if key in row}
        linked.append({**row} if query is None else {**row, "query": place | query})
    return linked


def of_delta(row: Mapping[str, Any]) -> Query:
    """The turns on which the two students disagree; the published scores have no turns here."""
    return {"verdicts": "tft direct"} if row["source"] == "this run" else None


def of_confusion(row: Mapping[str, Any]) -> Query:
    """The turns with this reference tool and this predicted tool."""
    predicted = "none" if row["predicted"] == NO_CALL else row["predicted"]
    return {"tool": row["reference"], "predicted": predicted}


def of_argument(row: Mapping[str, Any]) -> Query:
    """The turns with this outcome of this argument."""
    return {key: row[key] for key in ("tool", "argument", "outcome")}


def of_names(row: Mapping[str, Any]) -> Query:
    """All turns, but only for the original names, because the page has no others."""
    return {} if row["names"] == "original" else None


def of_bin(row: Mapping[str, Any]) -> str:
    """A bin of a curve, as a setting of its filter."""
    return f"{row['first']}-{row['last']}"


def bins(rows: Rows) -> list[tuple[str, str]]:
    """The bins of several curves: setting of the filter, and its label."""
    names = {(row["first"], row["last"]): of_bin(row) for row in rows}
    return [(names[first, last], f"{first} to {last}") for first, last in sorted(names)]
