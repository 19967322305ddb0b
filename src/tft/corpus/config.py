"""Params of the stages `fetch` and `split`: which corpus is read, and how much of it is used."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from ruamel.yaml import YAML

from tft.core.config import Count, Section
from tft.traces.config import TracesConfig


@cache
def _pinned(name: str) -> dict[str, Any]:
    """The content of NAME.yaml, which pins a corpus: the commit, and what must be in it."""
    content: dict[str, Any] = YAML(typ="safe").load(Path(__file__).with_name(f"{name}.yaml"))
    return content


def _pin(name: str, key: str) -> Any:
    return Field(default_factory=lambda: _pinned(name)[key])


class SgdConfig(Section):
    """Where Schema-Guided Dialogue is, and which of its services are used.

    The other fields default to what sgd.yaml pins: the commit, the checksum of every file that is
    read, and the ids of the published test dialogues and of those that the publication dropped.
    """

    archive: str
    service: str
    other_services: list[str]
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] = _pin("sgd", "commit")
    sha256: dict[str, str] = _pin("sgd", "sha256")
    held_out: list[str] = _pin("sgd", "held_out")
    dropped: list[str] = _pin("sgd", "dropped")


class PublishedConfig(Section):
    """Where the published benchmark's data are.

    The other fields default to what published.yaml pins: the commit, and the folder of each
    scenario's traces.
    """

    archive: str
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] = _pin("published", "commit")
    folders: dict[str, str] = _pin("published", "folders")


class BuiltinConfig(Section):
    """The simulated corpus."""

    seed: int
    today: date
    service: str
    counts: dict[str, Count]
    held_out: Count


class Limit(Section):
    """Upper bounds for a quick try, in conversations; None means all."""

    train: Count | None
    test: Count | None


class CorpusParams(Section):
    """The part of params.yaml that decides which conversations are read and how they are split."""

    corpus: Literal["builtin", "sgd", "published", "traces"]
    data_seed: int
    limit: Limit
    sgd: SgdConfig
    published: PublishedConfig
    builtin: BuiltinConfig
    traces: TracesConfig
