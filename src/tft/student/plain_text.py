"""What a student takes along whose agent answers in plain text: text outside, calls inside.

The student itself makes nothing but calls, one of which talks. Its chat template and vLLM's parser
of its answers translate, so that clients of the agent need no change.
"""

import json
import shutil
from pathlib import Path

from tft.conversation import Tool
from tft.tables import write_text

PARSER = "plain_text_parser.py"
"""A plugin of vLLM's server that registers the parser `plain_text`; lies in a student's folder."""


def answer_in_plain_text(student: Path, talk: Tool) -> None:
    """Give a packaged student the parser, and its two chat templates what goes before them.

    Args:
        student: the folder, with `adapter` and `merged` in it.
        talk: the tool that talks, as the student was trained with; its first required argument is
            what is said.
    """
    before = Path(__file__).with_name("plain_text.jinja").read_text(encoding="utf-8")
    # JSON is a Jinja expression as long as it holds no null, which a tool does not.
    before = f"{{%- set talk = {json.dumps(talk.to_openai())} -%}}\n{before}"
    for folder in ("adapter", "merged"):
        template = student / f"{folder}/chat_template.jinja"
        write_text(template, before + template.read_text(encoding="utf-8"))
    shutil.copy(Path(__file__).with_name(PARSER), student)
