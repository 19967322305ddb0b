"""From params to the code that plays each part; stages ask here and know no more."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from tft.conversation import Conversation, Turn, Verdict
from tft.corpus.builtin import read_builtin, split_builtin
from tft.corpus.published import read_published, split_published
from tft.corpus.report import ImportReport
from tft.corpus.sgd import read_sgd, split_sgd
from tft.corpus.traces import SOURCE, read_traces, split_traces
from tft.curated import Draft, Plan, Relabelled, Relevance
from tft.curation.relabel import relabel as relabel_by_llm
from tft.curation.relevance import score_relevance as score_by_llm
from tft.curation.synthesize import synthesize as generate_by_llm
from tft.errors import InputError
from tft.evaluation.judge import VERSION as LLM_JUDGE_VERSION
from tft.evaluation.judge import judge as judge_by_llm
from tft.evaluation.teacher import answer_turns
from tft.llm import Connection, connect
from tft.params import (
    Baseline,
    Limit,
    LowData,
    NoisyLabels,
    Own,
    Params,
    SchemaDrift,
    TraceMixing,
    environment,
)
from tft.rules.judge import JUDGE_VERSION
from tft.rules.judge import judge as judge_by_rules
from tft.rules.relabel import relabel
from tft.rules.relevance import score_relevance
from tft.rules.synthesize import synthesizer
from tft.scenarios import baseline, low_data, noisy_labels, own, schema_drift, trace_mixing
from tft.scenarios.common import of_source
from tft.task import Task


def load_corpus(params: Params) -> tuple[Iterable[Conversation], Task, ImportReport]:
    """All conversations of the corpus in the order of their ids, the task they are about, a report.

    The report is complete once all conversations were taken.
    """
    match params.corpus:
        case "builtin":
            conversations, task = read_builtin(params.builtin)
        case "sgd":
            archive = environment("TFT_SGD_ARCHIVE", params.sgd.archive)
            conversations, task = read_sgd(archive, params.sgd)
        case "published":
            archive = environment("TFT_PUBLISHED", params.published.archive)
            conversations, task = read_published(archive, params.published)
        case "traces":
            return read_traces(params.traces)
    report = ImportReport(Counter(one.source for one in conversations))
    return _by_id(conversations), task, report


def split_corpus(
    conversations: Iterable[Conversation], params: Params
) -> tuple[Iterable[Conversation], Iterable[Conversation]]:
    """(what may be trained on, of every service; what is tested on), cut to `limit`.

    Conversations come in the order of their ids, and so do both parts. They are gone through more
    than once.
    """
    match params.corpus:
        case "builtin":
            train, test = split_builtin(list(conversations), params.builtin)
        case "sgd":
            train, test = split_sgd(list(conversations), params.sgd)
        case "published":
            train, test = split_published(list(conversations))
        case "traces":
            rest, held_out = split_traces(conversations, params.traces.test_fraction, params.seed)
            return (
                itertools.islice(rest, params.limit.train),
                itertools.islice(held_out, params.limit.test),
            )
    return _cut(train, test, params.limit)


def labels_are_given(held_out: Sequence[Conversation], params: Params) -> bool:
    """Whether the held-out calls are right already: those of a test set are, not those of logs."""
    return params.corpus != "traces" or any(one.source != SOURCE for one in held_out)


def _cut(
    train: Sequence[Conversation], test: Sequence[Conversation], limit: Limit
) -> tuple[list[Conversation], list[Conversation]]:
    by_source = sorted(train, key=lambda item: (item.source, item.id))
    groups = itertools.groupby(by_source, key=lambda item: item.source)
    kept = [item for _, group in groups for item in itertools.islice(group, limit.train)]
    return _by_id(kept), _by_id(test)[: limit.test]


def _by_id(conversations: Iterable[Conversation]) -> list[Conversation]:
    return sorted(conversations, key=lambda one: one.id)


def make_traces(  # noqa: PLR0911 - one for each kind
    name: str, pool: Sequence[Conversation], params: Params
) -> list[Conversation]:
    """The traces of a scenario, from all conversations that may be trained on.

    Raises:
        InputError: no such scenario, or one of its numbers does not fit the pool.
    """
    scenario = params.scenario(name)
    if isinstance(scenario, Own):
        return own.build(pool)
    try:
        if params.corpus == "published":
            return of_source(pool, "published", f"published/{scenario.published}")
        match scenario:
            case Baseline():
                return baseline.build(pool, scenario, params.seed)
            case NoisyLabels():
                return noisy_labels.build(pool, scenario, params.seed)
            case SchemaDrift():
                return schema_drift.build(pool, scenario, params.seed)
            case LowData():
                return low_data.build(pool, scenario, params.seed)
            case TraceMixing():
                return trace_mixing.build(pool, scenario, params.seed)
    except InputError as error:
        raise InputError(f"params.yaml: scenarios.{name}.{error.message}") from error


def truth_for(name: str, pool: Sequence[Conversation], params: Params) -> list[Conversation] | None:
    """The right conversations behind a scenario's traces: what S1 trains on; None if nobody knows.

    Raises:
        InputError: no such scenario.
    """
    scenario = params.scenario(name)
    if isinstance(scenario, Own):
        return None
    if params.corpus == "published":
        (right,) = {one.published for one in params.defined.values() if one.kind == "baseline"}
        return of_source(pool, "published", f"published/{right}")
    return of_source(pool, "source", scenario.source)


ScoreRelevance = Callable[[Sequence[Conversation], Task], list[Relevance]]
RelabelTraces = Callable[[Sequence[Conversation], Task], list[Relabelled]]
Generate = Callable[[Sequence[Plan]], list[Draft]]
Synthesizer = Callable[[Sequence[Conversation], Sequence[Conversation], Task], Generate]
"""(seeds, context, task) -> what turns plans into drafts."""


def language_models(params: Params) -> Connection:
    """The models of params.llm, their answers kept in TFT_CACHE, and the ledger of the asking.

    A stage has one for all its roles, so that the budget bounds what they spend together.
    """
    return connect(params.llm, Path(environment("TFT_CACHE", ".cache")) / "llm")


def relevance_for(params: Params, chat: Connection, stage: str) -> ScoreRelevance:
    """Who scores how far traces belong to the task; `stage` names its requests."""
    match params.filter.role:
        case "rules":
            return score_relevance
        case "llm":
            return partial(
                score_by_llm,
                chat=chat,
                model=params.filter.model,
                max_tokens=params.filter.max_tokens,
                stage=stage,
            )


def relabel_for(params: Params, chat: Connection, stage: str) -> RelabelTraces:
    """Who labels traces anew; `stage` names its requests."""
    match params.relabel.role:
        case "rules":
            return relabel
        case "llm":
            return partial(
                relabel_by_llm,
                chat=chat,
                committee=params.relabel.committee,
                arbiter=params.relabel.arbiter,
                temperature=params.relabel.temperature,
                max_tokens=params.relabel.max_tokens,
                stage=stage,
            )


def synthesizer_for(params: Params, chat: Connection, stage: str) -> Synthesizer:
    """Who generates conversations; `stage` names its requests."""
    match params.synthesize.role:
        case "rules":
            return synthesizer
        case "llm":
            generate = partial(
                generate_by_llm,
                chat=chat,
                model=params.synthesize.model,
                temperature=params.synthesize.temperature,
                max_tokens=params.synthesize.max_tokens,
                stage=stage,
            )
            # A language model reads what is in the plans, nothing else of the traces.
            return lambda seeds, context, task: partial(generate, task=task)


AnswerTurns = Callable[[Sequence[Conversation], Task], list[dict[str, Any]]]


def teacher_for(params: Params, chat: Connection, stage: str) -> AnswerTurns | None:
    """The teacher that answers turns itself, if there is one; `stage` names its requests."""
    match params.teacher.role:
        case "none":
            return None
        case "llm":
            return partial(
                answer_turns,
                chat=chat,
                model=params.teacher.model,
                max_tokens=params.teacher.max_tokens,
                stage=stage,
            )


Judge = Callable[[Sequence[Turn], Task], list[Verdict]]


def judge_for(
    params: Params, chat: Connection, stage: str, today: date | None
) -> tuple[Judge, str]:
    """The judge, and how it is named beside every score: who it is and which version.

    `stage` names its requests; `today` is when the conversations take place.
    """
    match params.judge.role:
        case "rules":
            rules = partial(judge_by_rules, today=today)
            return rules, f"rules judge v{JUDGE_VERSION}"
        case "llm":
            role = partial(
                judge_by_llm,
                chat=chat,
                models=params.judge.models,
                max_tokens=params.judge.max_tokens,
                stage=stage,
            )
            models = ", ".join(params.llm.models[name].model for name in params.judge.models)
            return role, f"LLM judge v{LLM_JUDGE_VERSION} ({models})"
