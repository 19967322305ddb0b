"""Starting vLLM in this process: what every engine here has in common."""

import os
from typing import Any

from tft.errors import InputError


def start_vllm(model: str, otherwise: str, **options: Any) -> Any:
    """A vLLM engine (`vllm.LLM`) of a local folder or hub id, with vLLM's own options.

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
