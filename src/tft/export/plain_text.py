"""What a student takes along whose agent answers in plain text: text outside, calls inside.

The student itself makes nothing but calls, one of which talks. Its chat template and vLLM's parser
of its answers translate, so that clients of the agent need no change.
"""

import json
from pathlib import Path

from tft.core.conversation import Tool

PARSER = "plain_text_parser.py"
"""A plugin of vLLM's server that registers the parser `plain_text`; lies in a student's folder."""


def before_template(talk: Tool) -> str:
    """What goes before the student's chat template.

    Args:
        talk: the tool that talks, as the student was trained with; its first required argument is
            what is said.
    """
    before = Path(__file__).with_name("plain_text.jinja").read_text(encoding="utf-8")
    # JSON is a Jinja expression as long as it holds no null, which a tool does not.
    return f"{{%- set talk = {json.dumps(talk.to_openai())} -%}}\n{before}"
