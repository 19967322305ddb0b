"""How long stages take: DVC does not keep it, and it must not be in outputs that others depend on.

Each stage leaves reports/times/STAGE.json, of its last run that ended well, which neither DVC nor
git knows; the stage `page` gathers what is there.
"""

import json
import sys
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tft.tables import write_json

TIMES = Path("reports/times")


def timed(main: Callable[[], Any]) -> None:
    """Run a stage's command, and note how long its process took if it ends well.

    The note is named as DVC names the stage: package@low_data-tft.
    """
    items = [word for word in sys.argv[1:] if not word.startswith("-")]
    name = "@".join(filter(None, [Path(sys.argv[0]).stem, "-".join(items)]))
    try:
        main()
    except SystemExit as end:  # as click's commands end, well or not
        if not end.code and "--help" not in sys.argv:
            note(TIMES / f"{name}.json")
        raise


def note(path: Path) -> None:
    """Write how long this process has been running, imports included, and when (UTC)."""
    seconds = round(time.time() - psutil.Process().create_time(), 1)
    now = datetime.now(UTC).isoformat(timespec="minutes").removesuffix("+00:00")
    write_json(path, {"seconds": seconds, "measured": now})


def read_times(items: Collection[str]) -> dict[str, dict[str, Any]]:
    """{stage: {seconds, measured}} of what is noted; of stages with an item, of these alone."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(TIMES.glob("*.json"))
        if path.stem.partition("@")[2] in {"", *items}
    }
