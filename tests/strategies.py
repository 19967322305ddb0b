"""Hypothesis strategies for the records."""

from typing import Any

from hypothesis import strategies as st

from tft.core.conversation import Conversation, Message, ToolCall, assistant, user

# All of Unicode, control characters included, but lone surrogates, which UTF-8 cannot carry.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
calls = st.builds(ToolCall, names, st.dictionaries(texts, json_values, max_size=3))
messages = st.builds(user, texts) | st.builds(lambda call: Message("assistant", None, call), calls)


def conversations(
    ids: st.SearchStrategy[str] = names,
    source: st.SearchStrategy[str] = texts,
    of: st.SearchStrategy[Message] = messages,
) -> st.SearchStrategy[Conversation]:
    return st.builds(
        Conversation,
        ids,
        source,
        st.lists(of, min_size=1, max_size=6).map(tuple),
        st.dictionaries(texts, json_values, max_size=2),
    )


# An agent with two services and the tool that talks; arguments overlap between the services.
agent_messages = (
    st.builds(user, texts)
    | st.builds(lambda text: assistant("respond_to_user", {"message": text}), texts)
    | st.builds(
        assistant,
        st.sampled_from(["Find", "Book"]),
        st.dictionaries(st.sampled_from(["city", "time", "size"]), texts, max_size=3),
    )
)


def pools(source: str) -> st.SearchStrategy[list[Conversation]]:
    """Conversations of one source with the ids source/0, source/1 ..."""
    return st.lists(
        st.lists(agent_messages, min_size=1, max_size=8).map(tuple), min_size=1, max_size=6
    ).map(
        lambda contents: [
            Conversation(f"{source}/{index}", source, content, {"file": "f"})
            for index, content in enumerate(contents)
        ]
    )
