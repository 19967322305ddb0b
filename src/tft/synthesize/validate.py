"""What a generated conversation must keep to before anything is trained on it."""

import json
from collections.abc import Sequence
from itertools import pairwise

from rapidfuzz import fuzz, process

from tft.core.conversation import Conversation, Message, result_of, text_of, to_openai
from tft.core.errors import InputError
from tft.core.records import Draft
from tft.core.task import RESPOND, Task, call_flaw
from tft.synthesize.config import ValidationConfig


def validate(
    drafts: Sequence[Draft],
    kept: Sequence[Conversation],
    seeds: Sequence[Conversation],
    task: Task,
    limits: ValidationConfig,
) -> list[str | None]:
    """Why each draft is rejected, or None; the label before a colon is what to count by.

    Args:
        drafts: in the order of their plans; each is compared with those kept before it.
        kept: what was kept of earlier drafts.
        seeds: what all of them were generated from.
        task: with the declared tools.
        limits: lengths and likenesses.
    """
    seed_texts = {one.id: text_of(one) for one in seeds}
    kept_texts = {one.id: text_of(one) for one in kept}
    reasons: list[str | None] = []
    for draft in drafts:
        one = draft.conversation
        if one is None:
            reasons.append(f"no conversation: {draft.rejection}")
            continue
        reason, text = flaw(one, task, limits), text_of(one)
        for label, others, limit in (
            ("too like a seed", seed_texts, limits.max_similarity_to_seeds),
            ("too like another", kept_texts, limits.max_similarity_among),
        ):
            if reason is None and (near := nearest(text, others, limit)):
                reason = f"{label}: {near[0]}, {near[1]:.3f}"
        if reason is None:
            kept_texts[one.id] = text
        reasons.append(reason)
    return reasons


def flaw(conversation: Conversation, task: Task, limits: ValidationConfig) -> str | None:
    """The first thing by which a conversation is none that the agent could have had."""
    if problem := _order_flaw(conversation.messages):
        return problem
    for index, call in conversation.turns():
        if problem := call_flaw(call, task):
            return f"{problem} at message {index}"
    length = len(json.dumps(to_openai(conversation.messages), ensure_ascii=False))
    return f"length: {length} characters" if length > limits.max_characters else None


def _order_flaw(messages: Sequence[Message]) -> str | None:
    last = messages[-1].tool_call
    if messages[0].role != "user" or result_of(messages[0]) is not None:
        return "order: it does not begin with the user's words"
    if last is None or last.name != RESPOND:
        return f"order: it does not end with {RESPOND}"
    for index, (one, following) in enumerate(pairwise(messages)):
        if one.role == following.role:
            return f"order: message {index + 1} is the {following.role}'s again"
        call = one.tool_call
        if call is not None and (call.name != RESPOND) != (result_of(following) is not None):
            there = "no result" if call.name != RESPOND else "a result"
            return f"results: {there} follows {call.name} at message {index}"
    return None


def nearest(text: str, others: dict[str, str], limit: float) -> tuple[str, float] | None:
    """(id, likeness) of the most alike of other texts, if that is above the limit.

    Likeness is rapidfuzz's normalised indel similarity of the characters: 1 is equal. Of Schema-
    Guided Dialogue's conversations with one service no two reach 0.93 (restaurants: 0.92), and a
    copy about another restaurant has 0.97 (median; 0.95 or more in 95 % of the cases). By lines it
    has 0.88, because every line with the name differs; sorted words and sets of words do not tell
    a conversation from its messages in another order.
    """
    found = process.extractOne(text, others, scorer=fuzz.ratio, score_cutoff=100 * limit)
    return (found[2], found[1] / 100) if found and found[1] > 100 * limit else None


def copies_of(
    conversations: Sequence[Conversation], tests: Sequence[Conversation], limit: float
) -> list[tuple[str, str, float]]:
    """(id, test's id, likeness) of every conversation more like a test than the limit."""
    texts = {one.id: text_of(one) for one in tests}
    found = [(one.id, nearest(text_of(one), texts, limit)) for one in conversations]
    return [(name, *near) for name, near in found if near]


def refuse_copies(
    conversations: Sequence[Conversation],
    tests: Sequence[Conversation],
    limit: float,
    scenario: str,
) -> None:
    """Make sure that no generated conversation is a near copy of a test conversation.

    Raises:
        InputError: one is; names both and how alike they are.
    """
    if copies := copies_of(conversations, tests, limit):
        copy, test, similarity = copies[0]
        raise InputError(
            f"scenario {scenario!r}: {copy!r} is {similarity:.3f} like the test conversation "
            f"{test!r} (and {len(copies) - 1} more), limit {limit}: the traces hold test "
            "conversations; take them out, or raise synthesize.validation.max_similarity_to_tests"
        )
