"""vLLM in this process: the running engine, and the identity of its weights and code."""

import functools
import hashlib
import importlib.metadata
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from tft.core.errors import InputError

# At most one entry: the model, the options, and the running engine.
_running: list[tuple[str, dict[str, Any], Any]] = []


def vllm_engine(model: str, otherwise: str, **options: Any) -> Any:
    """The one engine of this process, started with this model and these options, or reused.

    An engine with another model or options is stopped first, because each takes nearly all memory.

    Raises:
        InputError: vLLM is not installed; `otherwise` says what to do instead of installing it.
    """
    if not (_running and _running[0][:2] == (model, options)):
        stop_engine()
        _running.append((model, options, start_vllm(model, otherwise, **options)))
    return _running[0][2]


def stop_engine() -> None:
    """Stop the running engine, if any, to free its memory, which deleting it would not do."""
    while _running:
        _running.pop()[2].llm_engine.engine_core.shutdown()


def start_vllm(model: str, otherwise: str, **options: Any) -> Any:
    """Start an engine (`vllm.LLM`) with a local folder or Hugging Face id and vLLM's options.

    Raises:
        InputError: vLLM is not installed; `otherwise` says what to do instead of installing it.
    """
    # vLLM reads these when it is imported. A KV cache of 2 GiB holds the tiny student's test set.
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
    """The identity of a model that vLLM loads: SHA-256 of a folder's files, or a Hub commit.

    Computed once per process, because large models take minutes to read. The function of the same
    name in `student.checkpoint` needs torch, whose import would delay a run with all answers
    cached.

    Raises:
        InputError: the model does not exist.
    """
    if not Path(model).exists():
        return _commit(model, revision)
    digest = hashlib.sha256()
    # README.md may change, because a model card does not affect answers.
    files = sorted(path for path in Path(model).glob("*.*") if path.suffix != ".md")
    for path in files or [Path(model)]:  # a single file: GGUF
        with path.open("rb") as file:
            digest.update(path.name.encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _commit(model: str, revision: str | None) -> str:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 (slow to import)

    try:
        # From the latest commit or, without network, from the one that was downloaded last.
        config = hf_hub_download(model, "config.json", revision=revision)
    except (OSError, ValueError) as error:
        raise InputError(
            f"params.yaml: llm.models: {model!r} is no folder and no model of the hub: {error}"
        ) from error
    return Path(config).parent.name


def vllm_version() -> str:
    """Build and version of vLLM, or an empty string if it is not installed."""
    for build in ("vllm", "vllm-cpu"):
        with suppress(importlib.metadata.PackageNotFoundError):
            return f"{build} {importlib.metadata.version(build)}"
    return ""
