"""Conversations as token trees, with each token once and each turn conditioned on what is served.

The *trunk* of a conversation is the rendering of the whole conversation. If the prompt of a turn,
as the server renders it, is a prefix of the trunk, the turn is trained on the trunk. Otherwise
(Qwen3's own template starts an answer with an empty think block that the history omits) the turn is
a *branch*: the tokens from where prompt and trunk differ, which attend to the trunk before that
point and to themselves. Positions continue from that point, so loss and gradients equal those of
training on one prompt at a time, with a fraction of the tokens (on S1, 8.2 times fewer than with
one copy of the prefix per turn).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from tft.core.conversation import Conversation, render_call
from tft.core.errors import InputError
from tft.core.task import Task
from tft.student.template import END_OF_TURN, render


@dataclass(frozen=True)
class Branch:
    """Tokens after the first `start` of the trunk; `targets` is a span [from, to) in `ids`."""

    start: int
    ids: list[int]
    targets: tuple[int, int]


@dataclass(frozen=True)
class Encoded:
    """One conversation: the token ids of the trunk, its target spans [from, to), and branches."""

    id: str
    trunk: list[int]
    targets: list[tuple[int, int]]
    branches: list[Branch]

    @property
    def tokens(self) -> int:
        """The number of tokens that this conversation takes."""
        return len(self.trunk) + sum(len(branch.ids) for branch in self.branches)


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, task: Task, conversation: Conversation, turn: int
) -> list[int]:
    """The token ids that a server sends for the assistant turn at message index `turn`."""
    return _ids(tokenizer, render(tokenizer, task, conversation.messages[:turn], prompt=True))


def encode(
    tokenizer: PreTrainedTokenizerBase, task: Task, conversation: Conversation, max_length: int
) -> Encoded:
    """Encode a conversation for training on every assistant turn.

    Raises:
        InputError: the prompt and answer of a turn have more than `max_length` tokens; nothing is
            truncated.
    """
    trunk = _ids(tokenizer, render(tokenizer, task, conversation.messages, prompt=False))
    targets, branches = [], []
    for turn, call in conversation.turns():
        prompt = encode_prompt(tokenizer, task, conversation, turn)
        ids = prompt + _ids(tokenizer, render_call(call) + END_OF_TURN)
        if len(ids) > max_length:
            raise InputError(
                f"conversation {conversation.id!r}: the turn at message {turn} takes {len(ids)} "
                f"tokens, max_length is {max_length}; raise it, or remove the conversation"
            )
        shared = _common([trunk, ids])
        if shared == len(ids):
            targets.append((len(prompt), len(ids)))
        else:
            # The last token of the prompt predicts the first of the answer, so it is in the branch.
            start = min(shared, len(prompt) - 1)
            branches.append(Branch(start, ids[start:], (len(prompt) - start, len(ids) - start)))
    needed = max([end for _, end in targets] + [branch.start for branch in branches], default=0)
    return Encoded(conversation.id, trunk[:needed], targets, branches)


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def shared_prefix(conversations: Sequence[Encoded]) -> int:
    """The number of tokens that all trunks start with: the system message with the tools.

    Excludes the token before a conversation's first target, which predicts this target.
    """
    common = _common([conversation.trunk for conversation in conversations])
    starts = [start - 1 for conversation in conversations for start, _ in conversation.targets]
    starts += [branch.start for conversation in conversations for branch in conversation.branches]
    return min([common, *starts])


def _common(sequences: Sequence[list[int]]) -> int:
    """The length of the prefix that all sequences share: that of the least and the greatest one."""
    first, last = min(sequences), max(sequences)
    return next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
