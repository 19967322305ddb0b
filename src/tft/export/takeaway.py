"""The models that a user takes away: what renders and reads them comes with them."""

import shutil
from pathlib import Path

from tft.core.conversation import Tool
from tft.core.tables import write_text
from tft.export.plain_text import PARSER, before_template
from tft.student.checkpoint import merge
from tft.student.config import StudentConfig

# Training renders prompts without thinking (`template.render`). A client of the student neither
# knows that nor can change it, so its template turns the switch itself.
NO_THINKING = "{%- set enable_thinking = false -%}\n"


def take_away(folder: Path, student: StudentConfig, adapter: Path, talk: Tool | None) -> None:
    """Write `adapter` and `merged`, whose chat templates by themselves render what was trained on.

    Args:
        folder: of the packaged student.
        student: its base and whose chat template it was trained with.
        adapter: as training wrote it, with the tokenizer.
        talk: where the agent answers in plain text, the tool through which the student talks; the
            parser of its answers is then written too.

    Raises:
        InputError: there is no such base.
    """
    shutil.copytree(adapter, folder / "adapter", dirs_exist_ok=True)
    merge(student.base, adapter, folder / "merged")
    before = NO_THINKING if student.template == "stock" else ""
    if talk:
        before += before_template(talk)
        shutil.copy(Path(__file__).with_name(PARSER), folder)
    for part in ("adapter", "merged"):
        template = folder / f"{part}/chat_template.jinja"
        write_text(template, before + template.read_text(encoding="utf-8"))
