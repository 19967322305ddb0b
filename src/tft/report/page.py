"""The page reports/index.html: a single file that needs neither network nor server."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tft.core.metrics import Curation
from tft.core.task import RESPOND
from tft.report import charts, links
from tft.report.links import LinkedSheet, Query
from tft.report.run import Run
from tft.report.table import (
    LABELS,
    MEASURES,
    UNDER_OTHER_NAMES,
    Sheet,
    about_baselines,
    about_contamination,
    about_correction,
    about_intervals,
    about_labels,
    about_p,
    about_robustness,
    about_seeds,
    both,
    cells_sheet,
    comparison_sheet,
    contamination_sheet,
    of_student,
    robustness_sheets,
    title,
)

HERE = Path(__file__).parent

VEGA_LITE = alt.SCHEMA_VERSION.rpartition(".")[0]  # vl_convert calls v6.4.1 v6.4
EXPORT = "window.vegaEmbed = vegaEmbed;"


def render_page(run: Run) -> str:
    """The page's HTML.

    Raises:
        InputError: the cells were judged by different judges, so their scores do not compare.
    """
    jinja = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # `tojson` writes every "<" as \u003c, so that no text can end the script that contains it.
    jinja.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    layout, places = run.layout, run.places
    curation = run.curation
    asked: list[Mapping[str, Any]] = [*curation["filter"].values(), *curation["relabel"].values()]
    asked += [*curation["synthesize"].values(), *run.others]
    return jinja.get_template("page.html").render(
        title=title(run.cells, run.layout.corpus, run.layout.student),
        about=[
            " ".join([about_intervals(run.layout.scenarios), *about_seeds(run.cells)]),
            *about_labels(run.labeled_by),
        ],
        about_correction=about_correction(run.cells),
        about_p=about_p(len(run.layout.scenarios), run.cells),
        about_baselines=about_baselines(run.cells),
        comparison=(
            links.of_comparison(
                comparison_sheet(run.comparison, layout.scenarios), layout.scenarios
            )
            if both(run.layout.pipelines)
            else None
        ),
        cells=links.of_cells(
            cells_sheet(run.cells, layout.scenarios, layout.pipelines), places.values()
        ),
        tools=_linked_tools(run, places),
        seeds=run.layout.seeds,
        robustness=_linked_robustness(run, places),
        about_robustness=run.robustness and about_robustness(run.robustness),
        under_other_names=UNDER_OTHER_NAMES,
        sweep=run.sweep,
        measures=MEASURES,
        places=places,
        labels=LABELS,
        first=next(cell for cell in places if cell not in LABELS),
        bins={
            "turn": links.bins([row for cell in run.breakdown.values() for row in cell["by_turn"]]),
            "length": links.bins(
                [row for cell in run.breakdown.values() for row in cell["by_length"]]
            ),
        },
        charts={name: chart.to_dict() for name, chart in _charts(run, places).items()},
        curation=_curation_sheet(run.curation, run.layout.scenarios),
        reasons=_reasons(run.curation, run.layout.scenarios),
        about_contamination=about_contamination(run.contamination),
        contamination=links.of_contamination(
            contamination_sheet(run.contamination, run.layout.scenarios), run.contamination
        ),
        pairs=links.closest_pairs(run.contamination, run.layout.scenarios),
        costs=list(_costs(asked)),
        times=_time_sheet(run.times),
        data={
            **run.turns,
            # Trained students first, because baselines are of less interest here.
            "cells": [{"cell": cell, **places[cell], **run.turns["cells"][cell]}
                      for cell in sorted(places, key=lambda cell: cell in LABELS)],
            "respond": RESPOND,
        },
        style=_file("page.css"),
        browser=_file("turns.js"),
        drawing=_file("charts.js"),
        vega=Markup(vl_convert.javascript_bundle(EXPORT, VEGA_LITE)),  # noqa: S704
    )  # fmt: skip


def _file(name: str) -> Markup:
    return Markup((HERE / name).read_text(encoding="utf-8"))  # noqa: S704


def _linked_robustness(run: Run, places: Mapping[str, dict[str, str]]) -> list[Sheet | LinkedSheet]:
    """The robustness sheets; links lead to turns under the original names, which the page has."""
    if not run.robustness:
        return []
    *comparison, cells = robustness_sheets(
        run.robustness, run.layout.scenarios, run.layout.pipelines
    )
    shown_places = [place for cell, place in places.items() if cell in run.robustness["cells"]]
    return [*comparison, links.of_cells(cells, shown_places)]


def _linked_tools(run: Run, places: Mapping[str, dict[str, str]]) -> LinkedSheet:
    """Judge scores per reference tool and, for service calls, the share of exact ones."""
    conversations = [messages for _, messages in run.turns["conversations"]]
    turns = Counter(conversations[place][index][0] for place, index in run.turns["turns"])
    columns = [
        (tool, score, name)
        for tool in sorted(turns)
        for score, name in (
            ("judge", f"{tool} ({turns[tool]} turns), judge"),
            *([] if tool == RESPOND else [("binary_tool_call", "exact")]),
        )
    ]
    rows = []
    for cell, place in places.items():
        scores = of_student(run.cells[cell], f"{cell}-{run.layout.seeds[0]}")["tools"]
        row: list[tuple[str, Query]] = [(text, None) for text in place.values()]
        for tool, score, _ in columns:
            # It is possible that no turn of a tool has a verdict.
            text = f"{scores[tool][score]:.3f}" if tool in scores else ""
            row.append((text, place | {"tool": tool}))
        rows.append(row)
    return ["scenario", "pipeline", *(name for _, _, name in columns)], rows


def _charts(run: Run, places: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    """All charts, by their place in the page."""
    names = [*run.layout.pipelines, *LABELS.values()]

    def of_cells(rows: Callable[[Mapping[str, Any]], charts.Rows]) -> charts.Rows:
        return charts.cell_rows(places, {cell: rows(run.breakdown[cell]) for cell in places})

    def binned(name: str, query: str) -> charts.Rows:
        rows = of_cells(lambda parts: parts[name])
        return links.with_queries(rows, lambda row: {query: links.of_bin(row)})

    by_turn, by_length = binned("by_turn", "turn"), binned("by_length", "long")
    confusion = links.with_queries(of_cells(charts.confusion_rows), links.of_confusion)
    arguments = links.with_queries(of_cells(charts.argument_rows), links.of_argument)
    charts_by_place = {
        "confusion": charts.confusion(confusion),
        "arguments": charts.arguments(arguments),
        "by-turn": charts.curve(by_turn, names, "position of the turn"),
        "by-length": charts.curve(by_length, names, "assistant turns in the conversation"),
        "loss": charts.loss(charts.cell_rows(places, run.losses), names),
    }
    if both(run.layout.pipelines):
        rows = charts.delta_rows(run.comparison)
        charts_by_place["delta"] = charts.delta(links.with_queries(rows, links.of_delta))
    if run.times:
        charts_by_place["times"] = charts.times(charts.time_rows(run.times))
    for measure in MEASURES:
        if run.robustness:
            scores = charts.robustness_rows(places, run.robustness, measure)
            linked = links.with_queries(scores, links.of_names)
            charts_by_place[f"robustness-{measure}"] = charts.robustness(linked, names, measure)
        for scenario, swept in run.sweep.items():
            rows = charts.sweep_rows(swept["rows"], measure)
            chart = charts.sweep(rows, names, swept["dose"], measure)
            charts_by_place[f"sweep-{scenario}-{measure}"] = chart
    return charts_by_place


def _curation_sheet(curation: Curation, scenarios: Sequence[str]) -> Sheet:
    head = [
        "scenario", "traces", "kept by the filter", "relabeled", "seeds", "generated", "valid",
        "right tool, logged", "decided", "service call right, logged", "decided",
    ]  # fmt: skip
    rows = []
    for scenario in scenarios:
        kept, labeled = curation["filter"][scenario], curation["relabel"][scenario]
        generated, audit = curation["synthesize"][scenario], curation["audit"][scenario]
        audited = [audit.get(key, {}) for key in ("tool_right", "service_call_right")]
        counts = [kept["traces"], kept["kept"], labeled["traces"] - labeled["rejected"]]
        counts += [generated["seeds"], generated["generated"], generated["kept"]]
        shares = [counted.get(when) for counted in audited for when in ("logged", "decided")]
        texts = ["" if share is None else f"{share:.3f}" for share in shares]
        rows.append([scenario, *map(str, counts), *texts])
    return head, rows


def _reasons(curation: Curation, scenarios: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
    """{scenario: {what is counted: {reason: count}}}, with the most frequent reasons first."""
    counted = {
        scenario: {
            "turns decided": curation["relabel"][scenario]["decisions"],
            "conversations generated": curation["synthesize"][scenario]["reasons"],
        }
        for scenario in scenarios
    }
    return {
        scenario: {
            label: dict(sorted(counts.items(), key=lambda item: -item[1]))
            for label, counts in parts.items()
        }
        for scenario, parts in counted.items()
    }


def _time_sheet(times: Mapping[str, Mapping[str, Any]]) -> Sheet:
    """One row per stage, summed over its items, with the longest first."""
    head = ["stage", "runs", "minutes in total", "longest", "measured (UTC)"]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for name, time in times.items():
        groups.setdefault(name.partition("@")[0], []).append(time)
    rows = []
    for stage, group in groups.items():
        seconds = [time["seconds"] for time in group]
        measured = sorted({time["measured"].replace("T", " ") for time in group})
        when = measured[0] if len(measured) == 1 else f"{measured[0]} to {measured[-1]}"
        rows.append((sum(seconds), [stage, len(group), sum(seconds), max(seconds), when]))
    rows.sort(key=lambda row: (-row[0], row[1]))
    return head, [
        [stage, str(number), f"{total / 60:.1f}", f"{longest / 60:.1f}", when]
        for _, (stage, number, total, longest, when) in rows
    ]


def _costs(metrics: Sequence[Mapping[str, Any]]) -> Iterator[list[Any]]:
    """One row per stage and model with the counts of `llm.ledger`."""
    for stage_metrics in metrics:
        for stage, models in stage_metrics.get("llm", {}).items():
            for model, use in models.items():
                refused = sum(use["refusals"].values())
                cost = "" if use["cost"] is None else f"{use['cost']:.2f}"
                tokens = [use["prompt_tokens"], use["completion_tokens"]]
                numbers = [use["requests"], *tokens]
                yield [stage, model, *(f"{number:,}" for number in numbers), str(refused), cost]
