"""Keys under which answers are kept: all that can change an answer, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fixtures.endpoint import SCHEMA, folder_of, in_process, llm, request
from hypothesis import given
from hypothesis import strategies as st

from tft.core.errors import InputError
from tft.llm.cache import cache_key, fingerprint_once
from tft.llm.chat import Request
from tft.llm.config import ModelConfig

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


asked = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["user", "system"]), "content": st.text(max_size=5)}
            ),
            max_size=3,
        ).map(tuple),
        "schema": st.none() | st.dictionaries(st.text(max_size=3), json_values, max_size=3),
        "temperature": st.sampled_from([0, 0.0, 1, 1.0, 0.7]),
        "max_tokens": st.integers(1, 9),
        "seed": st.none() | st.integers(0, 9),
    }
)  # fmt: skip


where = st.fixed_dictionaries(
    {
        "backend": st.just("openai"),
        "model": st.sampled_from(["a", "b"]),
        "base_url": st.sampled_from(["http://a/v1", "http://b/v1", "http://b/v1/"]),
        "options": st.dictionaries(st.text(max_size=3), json_values, max_size=2),
        "requests_at_once": st.integers(1, 3),
    }
)


def _told(request: dict[str, Any], model: dict[str, Any]) -> str:
    """What can change an answer, spelt in another way than the key spells it."""
    pairs = json.dumps(request["schema"])  # with its order
    rest = {name: request[name] for name in ("messages", "max_tokens", "seed")}
    place = [model["model"], model["base_url"].rstrip("/"), model["options"]]
    return repr([json.dumps([rest, place], sort_keys=True), pairs, float(request["temperature"])])


@given(asked, where, asked, where)
def test_keys_are_equal_exactly_when_everything_that_can_change_an_answer_is(
    one: dict[str, Any], here: dict[str, Any], two: dict[str, Any], there: dict[str, Any]
) -> None:
    pairs = [(one, here), (two, there), (one, there)]
    for field in one:
        pairs.append((one | {field: two[field]}, here))
    keys = [
        cache_key(Request("name", **request), ModelConfig.model_validate(model))
        for request, model in pairs
    ]
    for (question, model), key in zip(pairs, keys, strict=True):
        assert (key == keys[0]) == (_told(question, model) == _told(one, here))


def test_the_key_depends_on_the_order_of_a_schema_but_not_of_a_message() -> None:
    model = llm("http://a/v1").models["big"]
    there = {"a": {}, "b": {}}, {"role": "user", "content": "q"}
    here = {"b": {}, "a": {}}, {"content": "q", "role": "user"}

    def key(schema: dict[str, Any], message: dict[str, str]) -> str:
        return cache_key(Request("big", (message,), {"properties": schema}), model)

    assert key(*there) == key(there[0], here[1])
    assert key(*there) != key(here[0], there[1])


def test_a_null_base_url_is_the_client_s_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(url: str | None) -> str:
        return cache_key(request("q"), llm("http://a/v1", base_url=url).models["big"])

    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert key(None) == key("https://api.openai.com/v1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://b/v1")
    assert key(None) == key("http://b/v1")


def test_the_keys_of_paid_answers_never_change() -> None:
    """As of the first release; another key here means that all answers are bought again."""
    key = cache_key(request("q", schema=SCHEMA, seed=1), llm("http://a/v1").models["big"])
    assert key == "c6f86930fa58cdc36e6fb546b89255d8f449abc200bf9dc1e396273e1e127be5"


def test_the_key_of_a_local_model_depends_on_its_weights_not_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(folder: str) -> str:
        return cache_key(request("q"), in_process(folder))

    first = key(folder_of(tmp_path / "base"))
    assert key(folder_of(tmp_path / "copy")) == first
    (tmp_path / "base" / "README.md").write_text("A card.")
    folder_of(tmp_path / "base", b"others")
    assert key(str(tmp_path / "base")) == first  # read once in a process
    fingerprint_once.cache_clear()
    assert key(str(tmp_path / "base")) != first
    folder_of(tmp_path / "base")
    fingerprint_once.cache_clear()
    assert key(str(tmp_path / "base")) == first
    (tmp_path / "copy" / "chat_template.jinja").write_text("{{ messages }}")
    fingerprint_once.cache_clear()
    assert key(str(tmp_path / "copy")) != first
    monkeypatch.setattr("tft.llm.cache.vllm_version", lambda: "vllm 0.99")
    assert key(str(tmp_path / "base")) != first


COMMIT = "0123456789abcdef0123456789abcdef01234567"


OF_THE_HUB = """
import sys
from tft.core.versions import fingerprint
print(fingerprint("some/model"), *{"torch", "transformers", "vllm"} & set(sys.modules))
"""


def test_the_key_of_a_hub_model_is_its_commit_and_needs_no_slow_imports(tmp_path: Path) -> None:
    stored = tmp_path / "models--some--model"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text(COMMIT)
    (stored / "snapshots" / COMMIT).mkdir(parents=True)
    (stored / "snapshots" / COMMIT / "config.json").write_text("{}")
    environment = {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", OF_THE_HUB]
    told = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, check=True)
    assert told.stdout.decode().split() == [COMMIT]


def test_an_error_names_the_model_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"llm\.models: '.*/gone' is no folder"):
        cache_key(request("q"), in_process(str(tmp_path / "gone")))
