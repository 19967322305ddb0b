"""Which turns stand behind a number: the settings of the page's filters that show them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from markupsafe import Markup

from tft.report.table import CORRECTED, Contamination, Sheet

Query = dict[str, str] | None
"""Names of filters with their settings; None: there are no turns of the page behind it."""
LinkedSheet = tuple[list[str], list[list[tuple[str, Query]]]]
Rows = Sequence[Mapping[str, Any]]

# What the turns behind a column of a row a cell have in common, beside their cell.
NARROWED = {
    "judge": {},
    CORRECTED: {},
    "staged tool call": {},
    "name accuracy": {},
    "service call exact": {"tool": "service"},
    "n": {},
    "parse failures": {"answer": "0"},
}
NO_CALL = "(no call)"  # as `evaluation.breakdown` calls it
PAIRS: dict[str, Literal["closest", "closest_without_calls"]] = {
    "most alike": "closest",
    "without calls": "closest_without_calls",
}
"""Columns of the contamination's sheet, and the pairs of conversations that they are of."""


# --- tables ------------------------------------------------------------------------------------
def of_cells(sheet: Sheet, places: Iterable[dict[str, str]]) -> LinkedSheet:
    """A sheet with a row a cell, `places` being the cells in their order."""
    head, rows = sheet
    linked = []
    for row, place in zip(rows, places, strict=True):
        queries = [place | NARROWED[name] if name in NARROWED else None for name in head]
        linked.append(list(zip(row, queries, strict=True)))
    return head, linked


def of_comparison(sheet: Sheet, scenarios: Iterable[str]) -> LinkedSheet:
    """TFT against Direct, a row a scenario."""
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


def of_contamination(sheet: Sheet, found: Contamination) -> LinkedSheet:
    """A row a cell; what is most alike leads to the test conversation of the pair."""
    head, rows = sheet
    linked = []
    for row in rows:
        scenario, pipeline, *_ = row
        pairs = found[pipeline][scenario]
        queries = [
            _conversation(scenario, pipeline, pairs[PAIRS[name]]) if name in PAIRS else None
            for name in head
        ]
        linked.append(list(zip(row, queries, strict=True)))
    return head, linked


def closest_pairs(found: Contamination, scenarios: Iterable[str]) -> LinkedSheet:
    """The test conversation and, as the command that tells of it, the training conversation."""
    rows: list[list[tuple[str, Query]]] = []
    for scenario in scenarios:
        for pipeline, of_scenarios in found.items():
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
    """Rows with the `query` of their marks: the turns of a cell, `narrowed`; None: no turns."""
    found = []
    for row in rows:
        query = narrowed(row)
        place = {key: row[key] for key in ("scenario", "pipeline") if key in row}
        found.append({**row} if query is None else {**row, "query": place | query})
    return found


def of_delta(row: Mapping[str, Any]) -> Query:
    """On which the two students disagree; of the published ones there are no turns."""
    return {"verdicts": "tft direct"} if row["source"] == "this run" else None


def of_confusion(row: Mapping[str, Any]) -> Query:
    """One tool in place of another."""
    predicted = "none" if row["predicted"] == NO_CALL else row["predicted"]
    return {"tool": row["reference"], "predicted": predicted}


def of_argument(row: Mapping[str, Any]) -> Query:
    """One outcome of one argument."""
    return {key: row[key] for key in ("tool", "argument", "outcome")}


def of_names(row: Mapping[str, Any]) -> Query:
    """The page has the answers under the original names alone."""
    return {} if row["names"] == "original" else None


def of_bin(row: Mapping[str, Any]) -> str:
    """A bin of a curve, as its filter is set."""
    return f"{row['first']}-{row['last']}"


def bins(rows: Rows) -> list[tuple[str, str]]:
    """The bins of several curves: how a filter is set, and how that is called."""
    found = {(row["first"], row["last"]): of_bin(row) for row in rows}
    return [(found[first, last], f"{first} to {last}") for first, last in sorted(found)]
