"""What of a log its reader does not read: kept beside the conversation, and counted by its path.

Every reader says next to its code what that reads. What else a log holds is found by going through
it with this, so that no key is lost because nobody thought of it.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

Read: TypeAlias = "bool | dict[str, Read] | list[Read] | Callable[[Any], Read]"
"""What is read of a JSON value: all or nothing of it; these keys of an object, and what of them;
of every item of a list the same; or what a function says, where it depends on the value."""


def unread(value: Any, read: Read, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of what is not read, such as `messages[3].name`; empty values say nothing."""
    if callable(read):
        read = read(value)
    match read, value:
        case (True, _) | (dict() | list(), str() | int() | float()):  # a text in place of its parts
            pass
        case dict(), dict():
            for key, item in value.items():
                step = f".{key}" if re.fullmatch(r"[\w-]+", key) else f"[{key!r}]"
                yield from unread(item, read.get(key, False), f"{path}{step}".removeprefix("."))
        case list(), list():
            for at, item in enumerate(value):
                yield from unread(item, read[0], f"{path}[{at}]")
        case _ if value not in (None, [], {}):
            yield path, value


def anywhere(path: str) -> str:
    """The path without the places in lists, by which reports count: `messages[].name`."""
    return re.sub(r"\[\d+\]", "[]", path)
