"""Answers on disk, keyed by request: an answer once received is never paid for again."""

import functools
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tft.core.config import environment
from tft.core.conversation import canonical_json
from tft.core.errors import InputError
from tft.core.versions import fingerprint
from tft.llm.chat import Reply, Request
from tft.llm.config import ModelConfig
from tft.llm.engine import vllm_version

VERSION = 1  # raise this when the same request would be sent or read differently
OPENAI = "https://api.openai.com/v1"

fingerprint_once = functools.cache(fingerprint)  # large models take minutes to read


def address(model: ModelConfig) -> str | None:
    """The address of a model's endpoint, or None for a model in this process.

    OPENAI_BASE_URL has the meaning that it has for OpenAI's own client.
    """
    if model.backend == "vllm":
        return None
    return (model.base_url or environment("OPENAI_BASE_URL", OPENAI)).rstrip("/")


def answerer(model: ModelConfig) -> str | list[str]:
    """What identifies a model: the endpoint's name for it, or its weights and vLLM's version.

    Raises:
        InputError: the model does not exist.
    """
    if model.backend == "vllm":
        try:
            weights = fingerprint_once(model.model, model.options.get("revision"))
        except InputError as error:
            raise InputError(f"params.yaml: llm.models: {error.message}") from error
        return [weights, vllm_version()]
    return model.model


def cache_key(request: Request, model: ModelConfig) -> str:
    """SHA-256 of everything that can change the answer, and of nothing else, such as API keys.

    Raises:
        InputError: the request is not representable as JSON, or the model does not exist.
    """
    parts = {
        "version": VERSION,
        "base_url": address(model),
        "model": answerer(model),
        "options": model.options,
        "messages": list(request.messages),
        # Not sorted, because models write an object's properties in the order of the schema.
        "schema": json.dumps(request.schema, allow_nan=False),
        "temperature": float(request.temperature),
        "max_tokens": request.max_tokens,
        "seed": request.seed,
    }
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


class Cache:
    """`answers.sqlite` in a folder, durable when `write` returns, shared by many processes."""

    def __init__(self, folder: Path) -> None:
        """Open the cache, or create it.

        Raises:
            InputError: the folder cannot be written to, or the file is not a cache.
        """
        self._path = folder / "answers.sqlite"
        with self._errors_named():
            folder.mkdir(parents=True, exist_ok=True)
            # With SQLite's defaults (rollback journal, synchronous FULL) committed rows survive
            # a killed process and a power cut.
            self._database = sqlite3.connect(self._path, timeout=60)
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, content TEXT NOT NULL,"
                " prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL)"
            )

    def read(self, keys: Iterable[str]) -> dict[str, Reply]:
        """The answers to those of the keys that have one."""
        query = "SELECT content, prompt_tokens, completion_tokens FROM answers WHERE key = ?"
        with self._errors_named():
            rows = ((key, self._database.execute(query, [key]).fetchone()) for key in keys)
            return {key: Reply(*row) for key, row in rows if row}

    def write(self, key: str, reply: Reply) -> None:
        """Store an answer, which is on disk when this returns.

        Raises:
            InputError: it cannot be stored, for example because the disk is full.
        """
        row = [key, reply.content, reply.prompt_tokens, reply.completion_tokens]
        with self._errors_named(), self._database:
            self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", row)

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"{self._path}: {error}; make it writable, or name another place in TFT_CACHE"
            ) from error
