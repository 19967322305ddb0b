"""Plain text for students of agents that answer in plain text.

The student itself makes only calls, one of which talks to the user. Its chat template and a parser
for vLLM translate between this call and plain text, so that clients of the agent need no change.
"""

import json
from pathlib import Path

from tft.core.conversation import Tool

PARSER = "plain_text_parser.py"
"""A plugin for vLLM's server in a student's folder, which registers the parser `plain_text`."""


def before_template(talk: Tool) -> str:
    """What is put before the student's chat template.

    Args:
        talk: The tool with which the student was trained to talk. Its first required argument is
            the message.
    """
    before = Path(__file__).with_name("plain_text.jinja").read_text(encoding="utf-8")
    # JSON without null is a valid Jinja expression, and a tool contains no null.
    return f"{{%- set talk = {json.dumps(talk.to_openai())} -%}}\n{before}"
