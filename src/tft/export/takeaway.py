"""The packaged models, each with the template that renders prompts and the parser of answers."""

import shutil
from pathlib import Path

from tft.core.conversation import Tool
from tft.core.tables import write_text
from tft.export.plain_text import PARSER, before_template
from tft.student.checkpoint import merge
from tft.student.config import StudentConfig

# Training renders prompts without thinking (`template.render`). Clients do not know that, so the
# packaged template sets the switch itself.
NO_THINKING = "{%- set enable_thinking = false -%}\n"


def take_away(folder: Path, student: StudentConfig, adapter: Path, talk: Tool | None) -> None:
    """Write `adapter` and `merged`, whose chat templates render exactly what was trained on.

    Args:
        folder: The folder of the packaged student.
        student: The student's settings, with its base and template.
        adapter: The folder that training wrote, with adapter and tokenizer.
        talk: The tool with which the student talks, if the agent answers in plain text. The parser
            of its answers is then written too.

    Raises:
        InputError: the base does not exist.
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
