"""From messages to the text that a model sees: one template for training and serving."""

from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tft.core.conversation import Message, to_openai
from tft.core.errors import InputError
from tft.core.task import Task

TEMPLATE = Path(__file__).with_name("chat_template.jinja")
END_OF_TURN = "<|im_end|>"
SPECIAL_TOKENS = ("<|im_start|>", END_OF_TURN, "<tool_call>", "</tool_call>")


def load_tokenizer(folder: str, template: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder or Hugging Face id, with the chosen chat template.

    `unified` sets this package's template; `stock` keeps the model's own.

    Raises:
        InputError: there is no tokenizer, no template of its own (stock), or a marker of a turn or
            a tool call is not a single token.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"no tokenizer at {folder!r}: {error}") from error
    missing = [
        token
        for token in SPECIAL_TOKENS
        if len(tokenizer.encode(token, add_special_tokens=False)) != 1
    ]
    if missing:
        raise InputError(
            f"the tokenizer of {folder!r} lacks {', '.join(missing)} as single tokens; "
            "use a model of the Qwen3 family, or add them and train their embeddings"
        )
    if template == "unified":
        tokenizer.chat_template = TEMPLATE.read_text(encoding="utf-8")
    elif not tokenizer.chat_template:
        raise InputError(f"{folder!r} has no chat template of its own; set template: unified")
    tokenizer.eos_token = END_OF_TURN
    return tokenizer


def render(
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    messages: Sequence[Message],
    *,
    prompt: bool,
) -> str:
    """The text of a conversation, ending where the next assistant turn starts if `prompt` is set.

    `enable_thinking=False` is Qwen3's switch for the empty think block; templates without thinking
    ignore it.
    """
    text = tokenizer.apply_chat_template(
        [{"role": "system", "content": task.description}, *to_openai(messages)],
        tools=task.tools_openai(),
        add_generation_prompt=prompt,
        enable_thinking=False,
        tokenize=False,
    )
    assert isinstance(text, str)
    return text
