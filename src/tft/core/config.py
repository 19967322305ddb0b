"""What all params files share: no unknown keys, bounded numbers, errors that fit on one line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML, YAMLError

from tft.core.errors import InputError

MAX_SEED = 2**32 - 1  # numpy accepts no larger seed

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0, le=2)]  # what OpenAI and vLLM accept
Names = Annotated[list[str], Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class Section(BaseModel):
    """A section of a params file. Unknown keys are errors, because one may be a misspelled key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


S = TypeVar("S", bound=Section)


def read_config(path: Path, kind: type[S]) -> S:
    """Read and validate a params file.

    Uses ruamel.yaml instead of PyYAML: `dvc exp run -S x=1e-5` writes `1e-05`, which PyYAML, a YAML
    1.1 reader, reads as a string.

    Raises:
        InputError: names the file, the key, the value, and what is allowed.
    """
    try:
        content = YAML(typ="safe").load(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; run from the repository's root") from error
    except YAMLError as error:
        raise InputError(f"{path}: not YAML ({error})") from error
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            parts = list(problem["loc"])
            match parts:
                case ["scenarios", name, part, *_] if part not in content["scenarios"][name]:
                    del parts[2]  # the kind of scenario, which pydantic puts there
            line = f"{path}: {'.'.join(map(str, parts)) or 'as a whole'}: {problem['msg']}"
            # An error about the whole file names its keys in the message, which the whole input
            # would bury. A value of key_variable may be the secret key itself, put there by
            # mistake.
            shown = parts and parts[-1] != "key_variable"
            lines.append(line + (f" (got {problem['input']!r:.80})" if shown else ""))
        raise InputError("\n".join(lines)) from None


def environment(name: str, default: str) -> str:
    """The environment variable `name` if it is set and not empty, otherwise `default`."""
    return os.environ.get(name) or default


def cache_folder(room: str) -> Path:
    """TFT_CACHE/ROOM, where a room keeps slow or paid results by content, outside DVC."""
    return Path(environment("TFT_CACHE", ".cache")) / room
