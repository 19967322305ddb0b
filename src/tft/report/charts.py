"""The page's charts: Vega-Lite by altair, each with its data inside.

Where a chart has a param `cell` or `scenario`, it holds every cell's data and shows those that the
param says; the page sets it. A row's `query` are the turns that the page shows at a click on its
mark.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from tft.core.tables import csv_text
from tft.report.table import MEASURES, PUBLISHED, Comparisons, Robustness, Sweep

Rows = Sequence[Mapping[str, Any]]
Layers = alt.LayerChart | alt.FacetChart  # as altair types `layer`

# Seen well on white and on black. Where a colour says more than who, the name stands there too.
COLOURS = ("#e07b39", "#3b8eea", "#2aa876", "#9b6dd6", "#c9587c", "#8a8f98")
OUTCOMES = {"right": "#2aa876", "wrong": "#d9534f", "missing": "#d9a13b", "invented": "#9b6dd6"}


def cell_rows(
    places: Mapping[str, Mapping[str, str]], tables: Mapping[str, Rows]
) -> list[dict[str, Any]]:
    """The rows of several cells' tables as one, each told by cell, scenario and pipeline."""
    return [
        {"cell": cell, **place, **row}
        for cell, place in places.items()
        for row in tables.get(cell, [])
    ]


def confusion_rows(breakdown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A breakdown's `confusion`, with the share that a predicted tool has of a reference's."""
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
    """A breakdown's `arguments`; `rank` is the order in which OUTCOMES are drawn."""
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
    """TFT less Direct by scenario, of this run with its interval and as published, without one."""
    rows = []
    for scenario, ours in comparison.items():
        low, high = ours["interval"] or (ours["difference"], ours["difference"])
        bounds = {"this run": (ours["difference"], low, high)}
        if theirs := PUBLISHED.get(scenario):
            bounds["published"] = (round(theirs["tft"] - theirs["direct"], 6),) * 3
        for source, values in bounds.items():
            numbers = dict(zip(("difference", "low", "high"), values, strict=True))
            rows.append({"scenario": scenario, "source": source, **numbers})
    return rows


def delta_csv(rows: Rows) -> str:
    """`delta_rows` as CSV, which `dvc plots` draws."""
    return csv_text(["scenario", "source", "difference", "low", "high"], rows)


def robustness_csv(places: Mapping[str, Mapping[str, str]], robustness: Robustness) -> str:
    """`robustness_rows` of all measures as CSV; a head alone where no student was asked again."""
    rows = [
        {"measure": MEASURES[measure], **row}
        for measure in (MEASURES if robustness else ())
        for row in robustness_rows(places, robustness, measure)
    ]
    return csv_text(["scenario", "pipeline", "names", "measure", "score"], rows)


def sweep_csv(sweep: Sweep) -> str:
    """`sweep_rows` of all scenarios and measures as CSV; a head alone where there was no sweep.

    A score without an interval is its own bounds, because `dvc plots` reads nothing as 0.
    """
    rows = []
    for one in sweep.values():
        for measure, name in MEASURES.items():
            for row in sweep_rows(one["rows"], measure):
                bounds = {
                    key: row["score"] if row[key] is None else row[key] for key in ("low", "high")
                }
                rows.append({"param": one["dose"], "measure": name, **row, **bounds})
    return csv_text(["param", "dose", "pipeline", "measure", "score", "low", "high"], rows)


def delta(rows: Rows) -> Layers:
    """Points of `delta_rows` with their intervals."""
    sources = ["this run", "published"]
    colours = alt.Scale(domain=sources, range=[COLOURS[1], COLOURS[-1]])
    base = alt.Chart(_data(rows)).encode(
        y=alt.Y("scenario:N", sort=None, title=None),
        yOffset=alt.YOffset("source:N", sort=sources),
        color=alt.Color("source:N", scale=colours, title=None),
        tooltip=["scenario:N", "source:N", "difference:Q", "low:Q", "high:Q"],
    )
    points = base.mark_point(filled=True, opacity=1, size=90).encode(
        x=alt.X("difference:Q", title="judge, TFT less Direct"),
        shape=alt.Shape("source:N", scale=alt.Scale(domain=sources), title=None),
    )
    zero = alt.Chart(_data([{"zero": 0}])).mark_rule(strokeDash=[4, 4]).encode(x="zero:Q")
    lines = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    return alt.layer(zero, lines, points).properties(width="container", height=18 * len(rows))


def robustness_rows(
    places: Mapping[str, Mapping[str, str]], robustness: Robustness, measure: str
) -> list[dict[str, Any]]:
    """Each cell's score under the tools' original names and under each variant's."""
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
    """Points of `robustness_rows`: a stroke for the original names, a dot for each variant."""
    scale = alt.Scale(range=list(COLOURS))
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("score:Q", title=MEASURES[measure], scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("scenario:N", sort=None, title=None),
        yOffset=alt.YOffset("pipeline:N", sort=list(names)),
        color=alt.Color("pipeline:N", sort=list(names), scale=scale, title=None),
        tooltip=["scenario:N", "pipeline:N", "names:N", alt.Tooltip("score:Q", format=".3f")],
    )
    dots = base.mark_point(filled=True, opacity=0.6, size=40)
    strokes = base.mark_tick(thickness=3, size=16)
    drawn = len({(row["scenario"], row["pipeline"]) for row in rows})
    return alt.layer(
        dots.transform_filter("datum.names != 'original'"),
        strokes.transform_filter("datum.names == 'original'"),
    ).properties(width="container", height=28 * drawn)


def sweep_rows(sweep: Rows, measure: str) -> list[dict[str, Any]]:
    """A scenario's doses with each pipeline's score and its interval, null where there is none."""
    rows = []
    for one in sweep:
        low, high = one["intervals"][measure] or (None, None)
        key = {"dose": one["dose"], "pipeline": one["pipeline"]}
        rows.append({**key, "score": one[measure], "low": low, "high": high})
    return rows


def sweep(rows: Rows, names: Sequence[str], dose: str, measure: str) -> Layers:
    """Curves of `sweep_rows` over the dose, with bands of 95 % intervals."""
    scale = alt.Scale(range=list(COLOURS))
    legend = alt.Legend(title=None, symbolOpacity=1)  # not as pale as the bands
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
    """A cell's turns by reference's tool, predicted tool and their number; `share` of the line."""
    base = _of_cell(alt.Chart(_data(rows))).encode(
        x=alt.X("predicted:N", title="predicted", axis=alt.Axis(labelAngle=-30)),
        y=alt.Y("reference:N", title="reference"),
        tooltip=["reference:N", "predicted:N", "turns:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    depth = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.08, 1]), legend=None)
    tiles = base.mark_rect(color=COLOURS[1]).encode(opacity=depth)
    return alt.layer(tiles, base.mark_text().encode(text="turns:Q")).properties(
        width="container", height=44 * len({row["reference"] for row in rows})
    )


def arguments(rows: Rows) -> alt.Chart:
    """What became of each argument of a cell's service calls to the right tool."""
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
    """The judge's score of a scenario's cells, by bins from `first` to `last`."""
    points = alt.OverlayMarkDef(size=80)  # a thumb hits them
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
    """Training's loss curves of a scenario's cells."""
    return (
        _of_scenario(alt.Chart(_data(rows)).mark_line(), names)
        .encode(
            x=alt.X("step:Q", title="step"),
            y=alt.Y("loss:Q", title="loss, nats a token", scale=alt.Scale(zero=False)),
            strokeDash=alt.StrokeDash("split:N", sort=["train", "eval"], title=None),
            tooltip=["pipeline:N", "split:N", "step:Q", "loss:Q"],
        )
        .properties(width="container", height=220)
    )


def time_rows(times: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What `timing.read_times` returns, a row a stage and item."""
    rows = []
    for name, one in times.items():
        stage, _, item = name.partition("@")
        row = {"stage": stage, "item": item, "minutes": round(one["seconds"] / 60, 2)}
        rows.append(row | {"measured": one["measured"]})
    return rows


def times(rows: Rows) -> alt.Chart:
    """Minutes a stage, its items side by side."""
    return (
        alt.Chart(_data(rows))
        .mark_bar(color=COLOURS[1], stroke="white", strokeWidth=0.5)
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
    """Coloured by pipeline; `names` are all there are, in their order."""
    scale = alt.Scale(range=list(COLOURS))
    return (
        chart.add_params(alt.param(name="scenario", value=""))
        .transform_filter("datum.scenario == scenario")
        .encode(color=alt.Color("pipeline:N", sort=list(names), scale=scale, title=None))
    )


def _data(rows: Rows) -> alt.Data:
    return alt.Data(values=[dict(row) for row in rows])
