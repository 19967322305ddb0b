"""What a result depends on besides its inputs: versions of packages and contents of models."""

import hashlib
import importlib.metadata
from pathlib import Path

from tft.core.errors import InputError


def version_of(package: str) -> str | None:
    """The installed version of a package, or None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def fingerprint(model: str, revision: str | None = None) -> str:
    """The identity of a model: SHA-256 of a folder's or file's content, or the commit of a hub id.

    README.md is excluded, because a model card does not affect answers. This does not need torch,
    whose import would delay a run with all answers cached.

    Raises:
        InputError: the model does not exist.
    """
    if not Path(model).exists():
        return _commit(model, revision)
    digest = hashlib.sha256()
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
        raise InputError(f"{model!r} is no folder and no model of the hub: {error}") from error
    return Path(config).parent.name
