"""What a generated conversation must satisfy before a student is trained on it."""

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
    """Why each draft is rejected, or None if it is valid; reasons are counted by their label.

    Args:
        drafts: Drafts in the order of their plans. Each is compared with those kept before it.
        kept: Conversations kept from earlier batches.
        seeds: The seed conversations.
        task: The task, with the declared tools.
        limits: Upper bounds on length and similarities.

    Returns:
        One reason per draft: a label, a colon, and details.
    """
    seed_texts = {conversation.id: text_of(conversation) for conversation in seeds}
    kept_texts = {conversation.id: text_of(conversation) for conversation in kept}
    reasons: list[str | None] = []
    for draft in drafts:
        conversation = draft.conversation
        if conversation is None:
            reasons.append(f"no conversation: {draft.rejection}")
            continue
        reason, text = flaw(conversation, task, limits), text_of(conversation)
        for label, compared_texts, limit in (
            ("too like a seed", seed_texts, limits.max_similarity_to_seeds),
            ("too like another", kept_texts, limits.max_similarity_among),
        ):
            if reason is None and (near := nearest(text, compared_texts, limit)):
                reason = f"{label}: {near[0]}, {near[1]:.3f}"
        if reason is None:
            kept_texts[conversation.id] = text
        reasons.append(reason)
    return reasons


def flaw(conversation: Conversation, task: Task, limits: ValidationConfig) -> str | None:
    """The first reason why the agent could not have had this conversation, or None."""
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
    for index, (message, following) in enumerate(pairwise(messages)):
        if message.role == following.role:
            return f"order: message {index + 1} is the {following.role}'s again"
        call = message.tool_call
        if call is not None and (call.name != RESPOND) != (result_of(following) is not None):
            actual = "no result" if call.name != RESPOND else "a result"
            return f"results: {actual} follows {call.name} at message {index}"
    return None


def nearest(text: str, others: dict[str, str], limit: float) -> tuple[str, float] | None:
    """(id, similarity) of the most similar of other texts, or None if it is not above the limit.

    Similarity is rapidfuzz's normalized indel similarity of characters; 1 means equal. No two
    conversations of one service of Schema-Guided Dialogue reach 0.93 (restaurants: 0.92), while a
    copy about another restaurant has a median of 0.97 (0.95 or more in 95 % of cases). Compared by
    lines such a copy has 0.88, because every line with the name differs; sorted words and sets of
    words do not distinguish a conversation from its messages in another order.
    """
    match = process.extractOne(text, others, scorer=fuzz.ratio, score_cutoff=100 * limit)
    return (match[2], match[1] / 100) if match and match[1] > 100 * limit else None


def copies_of(
    conversations: Sequence[Conversation], tests: Sequence[Conversation], limit: float
) -> list[tuple[str, str, float]]:
    """(id, test id, similarity) of every conversation more similar to a test than the limit."""
    texts = {conversation.id: text_of(conversation) for conversation in tests}
    pairs = [
        (conversation.id, nearest(text_of(conversation), texts, limit))
        for conversation in conversations
    ]
    return [(name, *near) for name, near in pairs if near]


def refuse_copies(
    conversations: Sequence[Conversation],
    tests: Sequence[Conversation],
    limit: float,
    scenario: str,
) -> None:
    """Check that no generated conversation is a near copy of a test conversation.

    Raises:
        InputError: there is a copy; names both conversations and their similarity.
    """
    if copies := copies_of(conversations, tests, limit):
        copy, test, similarity = copies[0]
        raise InputError(
            f"scenario {scenario!r}: {copy!r} has a similarity of {similarity:.3f} to the test "
            f"conversation {test!r} (and {len(copies) - 1} more), limit {limit}: the traces "
            "contain test conversations; remove them, or raise "
            "synthesize.validation.max_similarity_to_tests"
        )
