"""What a result depends on beside its inputs: versions of packages, and the content of models."""

import hashlib
import importlib.metadata
from pathlib import Path

from tft.core.errors import InputError


def version_of(package: str) -> str | None:
    """The installed version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def fingerprint(model: str, revision: str | None = None) -> str:
    """What is loaded under this name: sha256 of a folder's or file's content, or a hub id's commit.

    README.md does not count: a model card answers nothing. Needs no torch, so that a run whose
    answers are all in the cache does not wait for its import.

    Raises:
        InputError: there is no such model.
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
        # Of the latest commit; without network, of the one that was downloaded last.
        config = hf_hub_download(model, "config.json", revision=revision)
    except (OSError, ValueError) as error:
        raise InputError(
            f"params.yaml: {model!r} is no folder, and no model of the hub: {error}"
        ) from error
    return Path(config).parent.name
