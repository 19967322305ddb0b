"""The charts of the page: Vega-Lite, made with altair, each containing its data.

A chart with a param `cell` or `scenario` contains the data of all cells and shows those that the
param selects; the page sets it. The `query` of a row selects the turns that the page shows after a
click on the row's mark.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from tft.core.tables import csv_text
from tft.report.table import MEASURES, PUBLISHED, Comparisons, Robustness, Sweep

Rows = Sequence[Mapping[str, Any]]
Layers = alt.LayerChart | alt.FacetChart  # as altair types `layer`

# Legible on white and on black. Colors never carry information that is not also given as text.
COLORS = ("#e07b39", "#3b8eea", "#2aa876", "#9b6dd6", "#c9587c", "#8a8f98")
OUTCOMES = {"right": "#2aa876", "wrong": "#d9534f", "missing": "#d9a13b", "invented": "#9b6dd6"}


def cell_rows(
    places: Mapping[str, Mapping[str, str]], tables: Mapping[str, Rows]
) -> list[dict[str, Any]]:
    """Concatenate the rows of several cells, adding cell, scenario, and pipeline to each."""
    return [
        {"cell": cell, **place, **row}
        for cell, place in places.items()
        for row in tables.get(cell, [])
    ]


def confusion_rows(breakdown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of a breakdown's `confusion`; `share` is of all turns with the same reference tool."""
    return [
        {
            "reference": tool,
            "predicted": name,
            "turns": turns,
            "share": turns / sum(predicted.values()),
        }
        for tool, predicted in breakdown["confusion"].items()
        for name, turns in predicted.items()
    ]


def argument_rows(breakdown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of a breakdown's `arguments`; `rank` is the order in which OUTCOMES are drawn."""
    return [
        {
            "tool": tool,
            "argument": name,
            "label": f"{name} ({tool})",
            "outcome": outcome,
            "turns": counts[outcome],
            "rank": rank,
        }
        for tool, names in breakdown["arguments"].items()
        for name, counts in names.items()
        for rank, outcome in enumerate(OUTCOMES)
        if counts[outcome]
    ]


def delta_rows(comparison: Comparisons) -> list[dict[str, Any]]:
    """TFT minus Direct by scenario: this run's with interval, the published one without."""
    rows = []
    for scenario, measured in comparison.items():
        low, high = measured["interval"] or (measured["difference"], measured["difference"])
        bounds = {"this run": (measured["difference"], low, high)}
        if published := PUBLISHED.get(scenario):
            bounds["published"] = (round(published["tft"] - published["direct"], 6),) * 3
        for source, values in bounds.items():
            numbers = dict(zip(("difference", "low", "high"), values, strict=True))
            rows.append({"scenario": scenario, "source": source, **numbers})
    return rows


def delta_csv(rows: Rows) -> str:
    """`delta_rows` as CSV, for `dvc plots`."""
    return csv_text(["scenario", "source", "difference", "low", "high"], rows)


def robustness_csv(places: Mapping[str, Mapping[str, str]], robustness: Robustness) -> str:
    """`robustness_rows` of all measures as CSV; only a header without that experiment."""
    rows = [
        {"measure": MEASURES[measure], **row}
        for measure in (MEASURES if robustness else ())
        for row in robustness_rows(places, robustness, measure)
    ]
    return csv_text(["scenario", "pipeline", "names", "measure", "score"], rows)


def sweep_csv(sweep: Sweep) -> str:
    """`sweep_rows` of all scenarios and measures as CSV; only a header without that experiment.

    A score without an interval gets itself as bounds, because `dvc plots` reads empty values as 0.
    """
    rows = []
    for swept in sweep.values():
        for measure, name in MEASURES.items():
            for row in sweep_rows(swept["rows"], measure):
                bounds = {
                    key: row["score"] if row[key] is None else row[key] for key in ("low", "high")
                }
                rows.append({"param": swept["dose"], "measure": name, **row, **bounds})
    return csv_text(["param", "dose", "pipeline", "measure", "score", "low", "high"], rows)


def delta(rows: Rows) -> Layers:
    """`delta_rows` as points with intervals."""
    sources = ["this run", "published"]
    colors = alt.Scale(domain=sources, range=[COLORS[1], COLORS[-1]])
    base = alt.Chart(_data(rows)).encode(
        y=alt.Y("scenario:N", sort=None, title=None),
        yOffset=alt.YOffset("source:N", sort=sources),
        color=alt.Color("source:N", scale=colors, title=None),
        tooltip=["scenario:N", "source:N", "difference:Q", "low:Q", "high:Q"],
    )
    points = base.mark_point(filled=True, opacity=1, size=90).encode(
        x=alt.X("difference:Q", title="judge, TFT minus Direct"),
        shape=alt.Shape("source:N", scale=alt.Scale(domain=sources), title=None),
    )
    zero = alt.Chart(_data([{"zero": 0}])).mark_rule(strokeDash=[4, 4]).encode(x="zero:Q")
    lines = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    return alt.layer(zero, lines, points).properties(width="container", height=18 * len(rows))


def robustness_rows(
    places: Mapping[str, Mapping[str, str]], robustness: Robustness, measure: str
) -> list[dict[str, Any]]:
    """The score of each cell under the original tool names and under each variant's."""
    return [
        {**place, "names": names, "score": summary[measure]}
        for cell, place in places.items()
        if cell in robustness["cells"]
        for names, summary in [
            ("original", robustness["cells"][cell]["original"]),
            *robustness["cells"][cell]["variants"].items(),
        ]
        if summary[measure] is not None
    ]


def robustness(rows: Rows, names: Sequence[str], measure: str) -> Layers:
    """`robustness_rows` as points: a stroke for the original names, a dot for each variant."""
    scale = alt.Scale(range=list(COLORS))
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("score:Q", title=MEASURES[measure], scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("scenario:N", sort=None, title=None),
        yOffset=alt.YOffset("pipeline:N", sort=list(names)),
        color=alt.Color("pipeline:N", sort=list(names), scale=scale, title=None),
        tooltip=["scenario:N", "pipeline:N", "names:N", alt.Tooltip("score:Q", format=".3f")],
    )
    dots = base.mark_point(filled=True, opacity=0.6, size=40)
    strokes = base.mark_tick(thickness=3, size=16)
    drawn_cells = len({(row["scenario"], row["pipeline"]) for row in rows})
    return alt.layer(
        dots.transform_filter("datum.names != 'original'"),
        strokes.transform_filter("datum.names == 'original'"),
    ).properties(width="container", height=28 * drawn_cells)


def sweep_rows(sweep: Rows, measure: str) -> list[dict[str, Any]]:
    """Score and interval (None if there is none) of each dose and pipeline of a scenario."""
    rows = []
    for cell in sweep:
        low, high = cell["intervals"][measure] or (None, None)
        key = {"dose": cell["dose"], "pipeline": cell["pipeline"]}
        rows.append({**key, "score": cell[measure], "low": low, "high": high})
    return rows


def sweep(rows: Rows, names: Sequence[str], dose: str, measure: str) -> Layers:
    """`sweep_rows` as curves over the dose, with bands of 95 % intervals."""
    scale = alt.Scale(range=list(COLORS))
    legend = alt.Legend(title=None, symbolOpacity=1)  # otherwise as pale as the bands
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("dose:Q", title=dose, scale=alt.Scale(zero=False, nice=False)),
        color=alt.Color("pipeline:N", sort=list(names), scale=scale, legend=legend),
        tooltip=[
            "pipeline:N", "dose:Q",
            *(alt.Tooltip(f"{column}:Q", format=".3f") for column in ("score", "low", "high")),
        ],
    )  # fmt: skip
    whole = alt.Scale(domain=[0, 1])
    lines = base.mark_line(point=True).encode(
        y=alt.Y("score:Q", title=MEASURES[measure], scale=whole)
    )
    bands = base.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", scale=whole), y2="high:Q")
    return alt.layer(bands, lines).properties(width="container", height=220)


def confusion(rows: Rows) -> Layers:
    """The confusion matrix of a cell: turns by reference tool and predicted tool."""
    base = _of_cell(alt.Chart(_data(rows))).encode(
        x=alt.X("predicted:N", title="predicted", axis=alt.Axis(labelAngle=-30)),
        y=alt.Y("reference:N", title="reference"),
        tooltip=["reference:N", "predicted:N", "turns:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    depth = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.08, 1]), legend=None)
    tiles = base.mark_rect(color=COLORS[1]).encode(opacity=depth)
    return alt.layer(tiles, base.mark_text().encode(text="turns:Q")).properties(
        width="container", height=44 * len({row["reference"] for row in rows})
    )


def arguments(rows: Rows) -> alt.Chart:
    """Outcomes of each argument in a cell's service calls to the right tool."""
    scale = alt.Scale(domain=list(OUTCOMES), range=list(OUTCOMES.values()))
    chart = alt.Chart(_data(rows)).mark_bar()
    return (
        _of_cell(chart)
        .encode(
            y=alt.Y("label:N", sort=None, title=None),
            x=alt.X("turns:Q", title="calls to the right tool"),
            color=alt.Color("outcome:N", scale=scale, title=None),
            order=alt.Order("rank:Q"),
            tooltip=["label:N", "outcome:N", "turns:Q"],
        )
        .properties(width="container", height=20 * len({row["label"] for row in rows}))
    )


def curve(rows: Rows, names: Sequence[str], title: str) -> alt.Chart:
    """The judge scores of a scenario's cells, in bins from `first` to `last`."""
    points = alt.OverlayMarkDef(size=80)  # large enough for a thumb
    return (
        _of_scenario(alt.Chart(_data(rows)).mark_line(point=points), names)
        .encode(
            x=alt.X("last:O", title=f"{title}, up to", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("judge:Q", scale=alt.Scale(domain=[0, 1])),
            tooltip=[
                "pipeline:N",
                "first:Q",
                "last:Q",
                "n:Q",
                alt.Tooltip("judge:Q", format=".3f"),
            ],
        )
        .properties(width="container", height=220)
    )


def loss(rows: Rows, names: Sequence[str]) -> alt.Chart:
    """The training loss of a scenario's cells."""
    return (
        _of_scenario(alt.Chart(_data(rows)).mark_line(), names)
        .encode(
            x=alt.X("step:Q", title="step"),
            y=alt.Y("loss:Q", title="loss, nats per token", scale=alt.Scale(zero=False)),
            strokeDash=alt.StrokeDash("split:N", sort=["train", "eval"], title=None),
            tooltip=["pipeline:N", "split:N", "step:Q", "loss:Q"],
        )
        .properties(width="container", height=220)
    )


def time_rows(times: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The times that `stage.read_times` returns, one row per stage and item."""
    rows = []
    for name, time in times.items():
        stage, _, item = name.partition("@")
        row = {"stage": stage, "item": item, "minutes": round(time["seconds"] / 60, 2)}
        rows.append(row | {"measured": time["measured"]})
    return rows


def times(rows: Rows) -> alt.Chart:
    """Minutes per stage, as bars with one part per item."""
    return (
        alt.Chart(_data(rows))
        .mark_bar(color=COLORS[1], stroke="white", strokeWidth=0.5)
        .encode(
            y=alt.Y("stage:N", sort="-x", title=None),
            x=alt.X("minutes:Q", title="minutes"),
            detail="item:N",
            tooltip=["stage:N", "item:N", "minutes:Q", "measured:N"],
        )
        .properties(width="container", height=20 * len({row["stage"] for row in rows}))
    )


def _of_cell(chart: alt.Chart) -> alt.Chart:
    return chart.add_params(alt.param(name="cell", value="")).transform_filter("datum.cell == cell")


def _of_scenario(chart: alt.Chart, names: Sequence[str]) -> alt.Chart:
    """Show one scenario, colored by pipeline; `names` are all pipelines, in order."""
    scale = alt.Scale(range=list(COLORS))
    return (
        chart.add_params(alt.param(name="scenario", value=""))
        .transform_filter("datum.scenario == scenario")
        .encode(color=alt.Color("pipeline:N", sort=list(names), scale=scale, title=None))
    )


def _data(rows: Rows) -> alt.Data:
    return alt.Data(values=[dict(row) for row in rows])
