"""Choose which corpus is read, and how it is split."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

from tft.core.config import environment
from tft.core.conversation import Conversation
from tft.core.task import Task
from tft.corpus.builtin import read_builtin, split_builtin
from tft.corpus.config import CorpusParams, Limit
from tft.corpus.published import read_published, split_published
from tft.corpus.sgd import read_sgd, split_sgd
from tft.traces.read import SOURCE, read_traces, split_traces
from tft.traces.report import ImportReport


def load_corpus(params: CorpusParams) -> tuple[Iterable[Conversation], Task, ImportReport]:
    """All conversations of the corpus, sorted by id, the agent's task, and a report.

    The report is complete once all conversations have been consumed.
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
    report = ImportReport(Counter(conversation.source for conversation in conversations))
    return _by_id(conversations), task, report


def split_corpus(
    conversations: Iterable[Conversation], params: CorpusParams
) -> tuple[Iterable[Conversation], Iterable[Conversation]]:
    """(training conversations of every service, held-out conversations), cut to `limit`.

    `conversations` must be sorted by id, as both parts are, and are iterated over more than once.
    """
    match params.corpus:
        case "builtin":
            train, test = split_builtin(list(conversations), params.builtin)
        case "sgd":
            train, test = split_sgd(list(conversations), params.sgd)
        case "published":
            train, test = split_published(list(conversations))
        case "traces":
            fraction = params.traces.test_fraction
            train_traces, held_out = split_traces(conversations, fraction, params.data_seed)
            return (
                itertools.islice(train_traces, params.limit.train),
                itertools.islice(held_out, params.limit.test),
            )
    return _cut(train, test, params.limit)


def labels_are_given(held_out: Sequence[Conversation], params: CorpusParams) -> bool:
    """Whether the held-out calls are labels already, as in a test set but not in logs."""
    return params.corpus != "traces" or any(
        conversation.source != SOURCE for conversation in held_out
    )


def _cut(
    train: Sequence[Conversation], test: Sequence[Conversation], limit: Limit
) -> tuple[list[Conversation], list[Conversation]]:
    by_source = sorted(train, key=lambda conversation: (conversation.source, conversation.id))
    groups = itertools.groupby(by_source, key=lambda conversation: conversation.source)
    kept = [
        conversation for _, group in groups for conversation in itertools.islice(group, limit.train)
    ]
    return _by_id(kept), _by_id(test)[: limit.test]


def _by_id(conversations: Iterable[Conversation]) -> list[Conversation]:
    return sorted(conversations, key=lambda conversation: conversation.id)
