import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tft.core.conversation import Conversation, Message, assistant, user
from tft.core.errors import InputError
from tft.core.task import Task
from tft.corpus.config import PublishedConfig
from tft.corpus.published import read_published, split_published

PARAMS = PublishedConfig(archive="unused", commit="0" * 40)
TOOL = {"function": {"name": "talk", "parameters": {"type": "object"}}}
JOB = {"task_description": "t", "llm_as_a_judge_instructions": "j", "tools": [TOOL]}
MESSAGES = (user("hi"), assistant("talk", {"message": "Łódź\u2028"}), user("bye"))


def call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "tool_calls": [{"function": function}], **more}


def trace_line(**more: Any) -> str:
    """A trace as published: JSON in JSON, arguments as a string, content null or absent."""
    arguments = json.dumps({"message": "Łódź\u2028"})
    rows = [{"role": "user", "content": "hi"}, call("talk", arguments, **more),
            {"role": "user", "content": "bye"}]  # fmt: skip
    return json.dumps({"context": json.dumps({"messages": rows})})


def question_line() -> str:
    """A test conversation as published: arguments as an object, the last call apart."""
    rows = [{"role": "user", "content": "hi"}]
    answer = {"name": "talk", "parameters": {"message": "x"}}
    return json.dumps({"context": None, "question": json.dumps(rows), "answer": json.dumps(answer)})


def write(folder: Path, files: dict[str, str | bytes]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(folder)


FLAT: dict[str, str | bytes] = {
    "job_description.json": json.dumps(JOB),
    "test.jsonl": question_line(),
    "scenario-9-x/traces.jsonl.gz": gzip.compress(
        f"{trace_line()}\n{trace_line(content=None)}\n".encode()
    ),
}


def test_traces_and_tests_get_ids_from_folder_and_line(tmp_path: Path) -> None:
    conversations, task = read_published(write(tmp_path, FLAT), PARAMS)
    test_messages: tuple[Message, ...] = (user("hi"), assistant("talk", {"message": "x"}))
    assert conversations == [
        Conversation("scenario-9-x/0001", "published/scenario-9-x", MESSAGES),
        Conversation("scenario-9-x/0002", "published/scenario-9-x", MESSAGES),
        Conversation("test/01", "published/test", test_messages),
    ]
    assert [tool.name for tool in task.tools] == ["talk"]
    train, test = split_published(conversations)
    assert (train, test) == (conversations[:2], conversations[2:])


def test_the_layout_of_the_repository_is_also_read(tmp_path: Path) -> None:
    folder = "scenario-9-x/tft"
    files = {f"{folder}/{name.split('/')[-1]}": content for name, content in FLAT.items()}
    files["scenario-9-x/tft-raw-data/traces.jsonl"] = "not read"
    files["scenario-9-x/distil-workspace/traces.jsonl"] = "not read"
    nested = read_published(write(tmp_path / "nested", files), PARAMS)
    flat = read_published(write(tmp_path / "flat", FLAT), PARAMS)
    assert sorted(nested[0], key=lambda item: item.id) == sorted(flat[0], key=lambda item: item.id)
    assert nested[1] == flat[1]


NO_ANSWER = json.dumps({"question": "[]", "answer": "{}"})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"test.jsonl": f"{question_line()}\n{{"}, r"test\.jsonl:2: the line is not JSON"),
        ({"test.jsonl": "3"}, r"test\.jsonl:1: expected an object with 'question'"),
        ({"test.jsonl": NO_ANSWER}, r"test\.jsonl:1: expected an object with 'name'"),
        ({"test.jsonl": "\n"}, r"test\.jsonl:1: the line is not JSON"),
        ({"scenario-9-x/traces.jsonl.gz": b"\x1f\x8b"}, r"traces\.jsonl\.gz: not a complete gzip"),
        ({"scenario-9-x/traces.jsonl": trace_line()}, "a second file of traces for scenario-9-x"),
        ({"scenario-8/traces.jsonl": '{"context": "{"}'},
         r"traces\.jsonl:1: context is not JSON"),
        ({"scenario-8/traces.jsonl": trace_line(content="text as well")},
         r"traces\.jsonl:1: message 1: an assistant message is exactly one tool call"),
        ({"job_description.json": "[]"}, r"job_description\.json: expected an object"),
        ({"job_description.json": json.dumps(JOB | {"tools": [3]})}, r"function\.name"),
    ],
)  # fmt: skip
def test_an_error_names_the_broken_line(
    tmp_path: Path, files: dict[str, str | bytes], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_published(write(tmp_path, FLAT | files), PARAMS)
    assert caught.value.message.startswith(str(tmp_path))


@pytest.mark.parametrize("name", FLAT)
def test_an_error_about_a_missing_file_says_what_is_expected(tmp_path: Path, name: str) -> None:
    files = {key: content for key, content in FLAT.items() if key != name}
    with pytest.raises(InputError, match=r"expected job_description\.json, .*TFT_PUBLISHED"):
        read_published(write(tmp_path, files), PARAMS)


def test_the_published_files_hold_what_the_benchmark_says(
    published: tuple[list[Conversation], Task],
) -> None:
    assert Counter(item.source for item in published[0]) == {
        "published/scenario-1-baseline": 327,
        "published/scenario-2-noisy-labels": 327,
        "published/scenario-3-schema-drift": 292,
        "published/scenario-4-low-data": 5,
        "published/scenario-5-trace-mixing": 178,
        "published/test": 34,
    }
