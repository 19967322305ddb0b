"""vLLM in this process: which engine runs, and which weights and code it answers with."""

import functools
import hashlib
import importlib.metadata
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from tft.core.errors import InputError

# The engine that runs, if one does, after its model and options.
_running: list[tuple[str, dict[str, Any], Any]] = []


def vllm_engine(model: str, otherwise: str, **options: Any) -> Any:
    """The one engine of this process, of this model with these options: reused, or started.

    Another one is stopped first, because each takes nearly all memory that it finds.

    Raises:
        InputError: vLLM is not installed; `otherwise` says what to do instead of installing it.
    """
    if not (_running and _running[0][:2] == (model, options)):
        stop_engine()
        _running.append((model, options, start_vllm(model, otherwise, **options)))
    return _running[0][2]


def stop_engine() -> None:
    """Give back the memory, if an engine runs: engines hold on to themselves."""
    while _running:
        _running.pop()[2].llm_engine.engine_core.shutdown()


def start_vllm(model: str, otherwise: str, **options: Any) -> Any:
    """One more engine (`vllm.LLM`) of a local folder or hub id, with vLLM's own options.

    Raises:
        InputError: vLLM is not installed; `otherwise` says what to do instead of installing it.
    """
    # Read by vLLM when it is imported. 2 GiB of KV cache hold the tiny student's test set.
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    try:
        from vllm import LLM  # noqa: PLC0415 (optional, and slow to import)
    except ImportError as error:
        raise InputError(
            f"vLLM is not installed ({error}); install the extra (pip install -e '.[cpu]' or "
            f"'.[gpu]'), or {otherwise}"
        ) from error
    return LLM(model, **options)


@functools.cache
def fingerprint(model: str, revision: str | None = None) -> str:
    """What vLLM loads by this name: sha256 of a folder's files, or a hub id's commit.

    Once per process, because large models take minutes to read. Not `student.checkpoint`'s, which
    needs torch: a run whose answers are all in the cache would wait for its import.

    Raises:
        InputError: there is no such model.
    """
    if not Path(model).exists():
        return _commit(model, revision)
    digest = hashlib.sha256()
    # README.md may change: a model card does not answer.
    files = sorted(path for path in Path(model).glob("*.*") if path.suffix != ".md")
    for path in files or [Path(model)]:  # a single file: GGUF
        with path.open("rb") as file:
            digest.update(path.name.encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _commit(model: str, revision: str | None) -> str:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 (slow to import)

    try:
        # Of the latest commit; without network, of the one that was downloaded last.
        config = hf_hub_download(model, "config.json", revision=revision)
    except (OSError, ValueError) as error:
        raise InputError(
            f"params.yaml: llm.models: {model!r} is no folder, and no model of the hub: {error}"
        ) from error
    return Path(config).parent.name


def vllm_version() -> str:
    """Build and version of vLLM; the empty string where there is none."""
    for build in ("vllm", "vllm-cpu"):
        with suppress(importlib.metadata.PackageNotFoundError):
            return f"{build} {importlib.metadata.version(build)}"
    return ""
