"""Stages whose roles are played by language models: on fake servers and on real engines."""

import copy
import importlib.util
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import Result
from fixtures.boat_roles import ATTACKS, FIND, OFFER, RENT, TASK, opened, plan, trace
from fixtures.llm_server import COMPLETION_TOKENS, Action, Handler, Server, answer, body, status
from fixtures.repository import ROOT, run_stage
from fixtures.strategies import json_values, texts
from fixtures.vllm_server import serve
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from tft.config import Params
from tft.core.conversation import Conversation
from tft.core.records import Draft, Relabeled, Relevance
from tft.core.tables import (
    DECISIONS,
    DRAFTS,
    RELEVANCE,
    read_conversations,
    read_rows,
    write_conversations,
)
from tft.core.task import RESPOND, write_task
from tft.corpus.choose import load_corpus, split_corpus
from tft.filter import choose as filter_role
from tft.filter.llm import parse, score_relevance
from tft.llm import connect
from tft.llm.chat import Refusal, Reply
from tft.llm.config import LlmConfig
from tft.llm.engine import stop_engine
from tft.llm.prompts import CALL, plain, plain_call, with_calls
from tft.relabel import choose as relabel_role
from tft.relabel import llm as committee
from tft.relabel.llm import drawn, parse_calls, parse_choice, relabel
from tft.scenarios.choose import corrupt
from tft.synthesize import choose as synthesize_role
from tft.synthesize import llm as synthesis
from tft.synthesize.llm import synthesize
from tft.traces.read import SOURCE

# --- any answer at all ------------------------------------------------------------------------

messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool"])},
    optional={
        "content": texts,
        "tool_call": st.fixed_dictionaries(
            {
                "name": st.sampled_from([RESPOND, "FindBoats", "Sink"]),
                "arguments": st.dictionaries(
                    st.sampled_from(["message", "harbour", "size"]), json_values, max_size=2
                ),
            }
        ),
    },
)
answers = st.text(max_size=20) | st.one_of(
    json_values,
    st.fixed_dictionaries({"messages": st.lists(messages, max_size=4)}),
    st.fixed_dictionaries({"calls": st.dictionaries(st.sampled_from("135"), messages, max_size=3)}),
    st.fixed_dictionaries(
        {"reason": texts, "relevance": json_values, "coherence": st.integers(-1, 7)}
    ),
    st.fixed_dictionaries({"reason": texts, "choice": st.sampled_from(["A", "B", "C", "none"])}),
).map(json.dumps)

SUMMARIES = {
    "filter": "data/filtered/{}/summary.json",
    "relabel": "data/relabeled/{}/summary.json",
    "synthesize": "data/tft/{}/summary.json",
}


@given(answers)
def test_parsers_never_raise_on_any_answer(content: str) -> None:
    reply = Reply(content, 1, 1)
    score = parse("boat/0", reply)
    assert (score.relevance == 0) == score.reason.startswith("no score: ")
    assert score.relevance in range(6) and score.coherence in range(6)
    calls = parse_calls(reply, committee.answer_schema(trace(), TASK))
    assert isinstance(calls, Refusal) or len(calls) == 2
    found: Any = {"a": (FIND, RENT), "b": (FIND, OFFER)}
    chosen, reason = parse_choice(reply, drawn(trace(), found), found)
    assert chosen in (None, *found.values())
    assert reason.startswith("arbiter ")
    draft = synthesis.parse(plan(), reply, synthesis.answer_schema(TASK))
    assert (draft.conversation is None) != (draft.rejection is None)


# --- a server that misbehaves -----------------------------------------------------------------

FAULTS: list[Action] = [
    answer("no JSON"),
    answer(""),
    answer('{"messages": 5}'),
    answer("{", finish_reason="length"),
    status(429, retry_after="1"),
    status(500),
    body(b"<html>", "text/html"),
]
UNSCORED, UNCORRECTED, DISPUTED = "A swan, please.", "A raft, please.", "A kayak, please."
ATTEMPTS = 3


class Model:
    """Greets every question with the next fault; asked again, it answers as its schema wants."""

    def __init__(self) -> None:
        self.faults = itertools.cycle(FAULTS)
        self.greeted: set[tuple[str, str]] = set()

    def __call__(self, handler: Handler) -> None:
        key = (handler.asked["model"], handler.question)
        with handler.server.lock:
            fault = next(self.faults) if key not in self.greeted else None
            self.greeted.add(key)
        if fault is None:
            fault = answer(json.dumps(self.say(*key, handler.asked["response_format"])))
        fault(handler)

    def say(self, model: str, question: str, form: Any) -> Any:
        properties = form["json_schema"]["schema"]["properties"]
        rows = opened(question)[0][1]
        wish = rows[0]["content"]
        if "relevance" in properties:
            low = {"relevance": 0, "coherence": 9}  # against its schema
            scores = low if wish == UNSCORED else {"relevance": 4, "coherence": 5}
            return {"reason": "A boat."} | scores
        if "choice" in properties:
            return {"reason": "The first is better.", "choice": "A"}
        if "messages" in properties:
            return {"messages": rows}
        calls = {str(row["turn"]): row["tool_call"] for row in rows if "tool_call" in row}
        if wish == UNCORRECTED:
            calls["1"] = {"name": "SinkBoat", "arguments": {}}
        if wish == DISPUTED and model == "second-1":
            calls["3"] = {"name": "RentBoat", "arguments": RENT.arguments}
        return {"calls": calls}


def llm_params(shipped: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    """params.yaml with all roles played by these models, the first one the teacher."""
    content = copy.deepcopy(shipped)
    teacher = next(iter(models))
    content["filter"] |= {"role": "llm", "model": teacher, "max_tokens": 400}
    content["relabel"] |= {"role": "llm", "committee": list(models), "arbiter": teacher}
    content["relabel"]["max_tokens"] = content["synthesize"]["max_tokens"] = 400
    content["synthesize"] |= {"role": "llm", "model": teacher}
    content["judge"]["models"] = [teacher]  # asked nothing here, nor as a teacher
    content["teacher"]["model"] = teacher
    content["llm"] |= {"models": models, "attempts": ATTEMPTS}
    return content


def run_well(name: str, scenario: str = "low_data") -> Any:
    """Run a stage's command on a scenario, in the working directory; what its metrics file says."""
    done = run_stage(name, scenario)
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(Path(SUMMARIES[name].format(scenario)).read_text(encoding="utf-8"))


def tokens(usage: Any) -> tuple[int, int]:
    rows = [row for models in usage["llm"].values() for row in models.values()]
    return sum(row["prompt_tokens"] for row in rows), sum(row["completion_tokens"] for row in rows)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working directory, with a cache of its own."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("project")
def test_stages_use_valid_answers_of_a_faulty_server_and_count_the_others(
    shipped: dict[str, Any],
) -> None:
    wishes = [*(f"A boat for {number}, please." for number in range(6)), *ATTACKS]
    wishes += [UNSCORED, UNCORRECTED, DISPUTED]
    traces = [trace(number, wish) for number, wish in enumerate(wishes)]
    write_conversations(Path("data/direct/low_data/train.parquet"), traces)
    write_task(Path("data/split/task.json"), TASK)
    with Server() as server:
        server.default = Model()
        place = {"backend": "openai", "base_url": server.url, "requests_at_once": 4}
        names = ("first", "second")
        models = {name: {"model": f"{name}-1", "options": {}} | place for name in names}
        content = llm_params(shipped, models)
        YAML().dump(content, Path("params.yaml"))

        filtered = run_well("filter")
        assert tokens(filtered) == (server.prompt_tokens, server.completion_tokens)
        row = filtered["llm"]["filter@low_data"]["first"]
        assert (filtered["kept"], filtered["rejected"]) == (len(traces) - 1, 1)
        assert (row["requests"], row["refusals"]) == (len(traces), {"against its schema": 1})
        scores = read_rows(Path("data/filtered/low_data/scores.parquet"), RELEVANCE)
        [rejected] = [row for row in scores if not row["kept"]]
        assert rejected["reason"].startswith("no score: against its schema")
        assert len(server.sent) == 2 * len(traces) + ATTEMPTS - 2

        before = Counter(server.questions)
        assert run_well("filter")["kept"] == filtered["kept"]
        [(again, times)] = (Counter(server.questions) - before).items()
        assert UNSCORED in again and times == ATTEMPTS
        server.prompt_tokens = server.completion_tokens = 0

        relabelled = run_well("relabel")
        assert tokens(relabelled) == (server.prompt_tokens, server.completion_tokens)
        assert (relabelled["traces"], relabelled["rejected"]) == (len(traces) - 1, 1)
        turns = 2 * (len(traces) - 1)
        assert sum(relabelled["decisions"].values()) == relabelled["turns"] == turns
        assert relabelled["decisions"]["unanimous"] == turns - 3
        assert relabelled["decisions"]["no candidate"] == 2
        [chosen] = set(relabelled["decisions"]) - {"unanimous", "no candidate"}
        assert chosen in ("arbiter chose first", "arbiter chose second")
        counts = {
            (stage, name): row["requests"]
            for stage, models in relabelled["llm"].items()
            for name, row in models.items()
        }
        assert counts == {
            ("relabel@low_data committee", "first"): len(traces) - 1,
            ("relabel@low_data committee", "second"): len(traces) - 1,
            ("relabel@low_data arbiter", "first"): 1,
        }
        kept = read_conversations(Path("data/relabeled/low_data/train.parquet"))
        lost = {UNSCORED, UNCORRECTED}
        assert {one.messages[0].content for one in kept} == set(wishes) - lost

        server.prompt_tokens = server.completion_tokens = 0
        params = Params.model_validate(content)
        asked = connect(params.llm)
        role = synthesize_role.choose(params.synthesize, asked, "synthesize@low_data")
        plans = [plan(number, exemplars=(kept[number],)) for number in range(4)]
        drafts = role(kept, [], TASK)(plans)
        assert [one.conversation.messages for one in drafts] == [one.messages for one in kept[:4]]
        assert tokens(asked.usage()) == (server.prompt_tokens, server.completion_tokens)


@pytest.mark.usefixtures("project")
def test_all_roles_of_a_stage_spend_from_one_budget(shipped: dict[str, Any]) -> None:
    held_out = [replace(trace(number, f"A boat for {number}?"), source=SOURCE) for number in "1234"]
    write_conversations(Path("data/split/held_out.parquet"), held_out)
    write_task(Path("data/split/task.json"), TASK)
    with Server() as server:
        model = Model()
        model.faults = itertools.repeat(None)
        server.default = model
        # A completion costs 3, as much as it may: 4 scores and 2 times 4 candidates.
        place = {"backend": "openai", "base_url": server.url, "requests_at_once": 1}
        price = {"input": 0.0, "output": 1.0e6}
        names = ("first", "second")
        models = {name: {"model": f"{name}-1", "price": price} | place for name in names}
        content = llm_params(shipped, models) | {"corpus": "traces", "run": ["own"]}
        content["filter"]["max_tokens"] = content["relabel"]["max_tokens"] = COMPLETION_TOKENS
        for budget, left in ((35, 1), (36, 0)):
            content["llm"]["budget"] = budget
            YAML().dump(content, Path("params.yaml"))
            done = run_stage("label_test")
            assert server.completion_tokens == 3 * (12 - left)
            assert bool(done.exit_code) == bool(left)
            assert ("33.0000 of 35.0 is spent" in done.output) == bool(left)
            assert ("request of label_test committee could exceed" in done.output) == bool(left)
    found = json.loads(Path("data/test/summary.json").read_text())["llm"]
    assert {stage: [*rows] for stage, rows in found.items()} == {
        "label_test": ["first"], "label_test committee": ["first", "second"],
    }  # fmt: skip


# --- a server that answers well ---------------------------------------------------------------

S2 = "noisy_labels"
FEW = {"counts": {"Restaurants_1": 60, "Hotels_1": 5}, "held_out": 5}  # simulated dialogues


def write_s2(params: Params, number: int) -> list[Conversation]:
    """The shortest traces of a small S2, and what the stages read beside; all dialogues, right."""
    corpus, task, _ = load_corpus(params)
    train, tests = split_corpus(list(corpus), params)
    traces = sorted(
        corrupt(S2, params.scenario(S2), train, params.data_seed), key=lambda one: len(one.messages)
    )
    write_conversations(Path(f"data/direct/{S2}/train.parquet"), traces[:number])
    write_conversations(Path("data/test/conversations.parquet"), tests)
    write_task(Path("data/split/task.json"), task)
    return train


class Expert(Model):
    """Knows each trace's right calls, but as second member leaves them as they were logged.

    It writes a copy of an example, then the new conversations, the first without its end.
    """

    def __init__(self, right: Sequence[Conversation], new: Sequence[Conversation]) -> None:
        super().__init__()
        self.faults = itertools.repeat(None)
        self.right = {tuple(message.content for message in one.messages): one for one in right}
        self.new = iter([None, replace(new[0], messages=new[0].messages[:-1]), *new[1:]])

    def say(self, model: str, question: str, form: Any) -> Any:
        properties = form["json_schema"]["schema"]["properties"]
        (_, rows), *candidates = opened(question)
        if "relevance" in properties:
            return {"reason": "A table is asked for.", "relevance": 5, "coherence": 5}
        if "messages" in properties:
            new = next(self.new)
            return {"messages": [*map(plain, new.messages)] if new else rows}
        right = self.right[tuple(row.get("content") for row in rows)]
        calls = {str(turn): plain_call(call) for turn, call in right.turns()}
        if "choice" in properties:
            [letter] = [
                tag[-1]
                for tag, items in candidates
                if {str(item["turn"]): item["tool_call"] for item in items} == calls
            ]
            return {"reason": "It is right.", "choice": letter}
        return {"calls": calls} if model == "first-1" else super().say(model, question, form)


@pytest.mark.usefixtures("project")
def test_good_answers_become_a_training_set_of_the_target_size(shipped: dict[str, Any]) -> None:
    """Of twelve conversations the first is a copy, the second has no end, the last is to spare."""
    with Server() as server:
        place = {"backend": "openai", "base_url": server.url, "requests_at_once": 4}
        models = {name: {"model": f"{name}-1"} | place for name in ("first", "second")}
        content = llm_params(shipped, models)
        content["builtin"] |= FEW
        content["synthesize"] |= {"target": 9, "batch": 4, "rounds": 3}
        content["synthesize"]["seed_conversations"][S2] = 5
        YAML().dump(content, Path("params.yaml"))
        train = {one.id: one for one in write_s2(Params.model_validate(content), 8)}
        traces = read_conversations(Path(f"data/direct/{S2}/train.parquet"))
        right = {one.id: train[one.id] for one in traces}
        others = [one for one in train.values() if one.source == traces[0].source]
        new = [one for one in others if one.id not in right][:11]
        server.default = Expert([*right.values()], new)

        def paid(name: str) -> Any:
            server.prompt_tokens = server.completion_tokens = 0
            metrics = run_well(name, S2)
            assert tokens(metrics) == (server.prompt_tokens, server.completion_tokens)
            return metrics

        assert paid("filter")["kept"] == len(traces)
        judged = paid("relabel")["llm"][f"relabel@{S2} arbiter"]["first"]["requests"]
        assert 0 < judged <= sum(one.messages != right[one.id].messages for one in traces)
        relabelled = read_conversations(Path(f"data/relabeled/{S2}/train.parquet"))
        assert all(one.messages == right[one.id].messages for one in relabelled)
        assert [one.id for one in relabelled] == [*right]

        metrics = paid("synthesize")
        assert metrics["llm"][f"synthesize@{S2}"]["first"]["requests"] == 12
        assert (metrics["seeds"], metrics["context"]) == (5, 3)
        assert (metrics["generated"], metrics["kept"], metrics["yield"]) == (12, 9, 0.75)
        assert metrics["reasons"] == {
            "not needed": 1, "order": 1, "too like a seed": 1, "valid": 9,
        }  # fmt: skip
        made = read_conversations(Path(f"data/tft/{S2}/train.parquet"))
        drafts = read_rows(Path(f"data/tft/{S2}/drafts.parquet"), DRAFTS)
        assert [one.id for one in made] == [row["conversation"] for row in drafts if row["kept"]]
        written = [[one.messages for one in new[1:]].index(one.messages) for one in made]
        assert len(set(written)) == len(made) == 9

        asked = len(server.sent)
        assert run_well("synthesize", S2) == metrics
        assert read_conversations(Path(f"data/tft/{S2}/train.parquet")) == made
        assert len(server.sent) == asked


# --- real engines -----------------------------------------------------------------------------

BASE = ROOT / "models" / "base"
WISHES = ["A boat?", "Two boats.", "Ahoy!", "Something red."]
SEVERAL = [trace(number, wish) for number, wish in enumerate(WISHES)]
PLANS = [plan(number) for number in range(6)]
# A model that understands nothing closes what it opens only where it is thrown about.
TEMPERATURE = 2.0


def needs_engine(test: Any) -> Any:
    for mark in (
        pytest.mark.vllm,
        pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="no vLLM"),
        pytest.mark.skipif(not (BASE / "model.safetensors").exists(), reason="no models/base"),
    ):
        test = mark(test)
    return test


def check_shape(scores: list[Relevance], labels: list[Relabeled], drafts: list[Draft]) -> int:
    """Answers are nonsense, but well formed, or say what they lack; how many labels differ."""
    assert [score.conversation for score in scores] == [one.id for one in SEVERAL]
    for score in scores:
        assert (score.relevance == 0) == score.reason.startswith("no score: ")
    assert any(score.relevance for score in scores)
    differing = 0
    for one, label in zip(SEVERAL, labels, strict=True):
        assert [decision.turn for decision in label.decisions] == [turn for turn, _ in one.turns()]
        votes = [decision.votes for decision in label.decisions]
        assert all(vote.keys() == {"one", "two"} for vote in votes)
        assert (label.conversation is None) == (label.rejection is not None)
        differ = any(None not in vote.values() and vote["one"] != vote["two"] for vote in votes)
        reasons = [decision.reason for decision in label.decisions]
        assert any(reason.startswith("arbiter ") for reason in reasons) == differ
        differing += differ
    for draft in drafts:
        assert (draft.conversation is None) == (draft.rejection is not None)
        assert draft.conversation is None or draft.conversation.id == draft.plan.id
    assert [draft.plan for draft in drafts] == PLANS
    made = [one.conversation for one in [*labels, *drafts] if one.conversation is not None]
    calls = [call for one in made for _, call in one.turns()]
    assert calls
    schema = Draft202012Validator(with_calls(CALL, TASK))
    for call in calls:
        assert schema.is_valid({"name": call.name, "arguments": call.arguments})
    return differing


@needs_engine
def test_roles_run_on_an_engine_in_this_process(tmp_path: Path) -> None:
    options = {"max_model_len": 4096, "dtype": "bfloat16", "enforce_eager": True}
    place = {"backend": "vllm", "model": str(BASE), "requests_at_once": 9}
    # The same engine under two names, which draws anew for each: an option of the template that
    # nothing reads keeps the second's requests from being the first's.
    other = {"chat_template_kwargs": {"member": "two"}}
    models = {"one": place | {"options": options}, "two": place | {"options": options | other}}
    llm = {"models": models, "attempts": 2, "timeout_seconds": 9, "budget": None}
    chat = connect(LlmConfig.model_validate(llm), tmp_path)
    scores = score_relevance(SEVERAL, TASK, chat, "one", 400, "filter@s")
    labels = relabel(SEVERAL, TASK, chat, ["one", "two"], "one", TEMPERATURE, 800, "relabel@s")
    drafts = synthesize(PLANS, TASK, chat, "one", TEMPERATURE, 800, "synthesize@s")
    stop_engine()
    differing = check_shape(scores, labels, drafts)
    spent = chat.metrics()
    assert list(spent) == ["filter@s", "relabel@s arbiter", "relabel@s committee", "synthesize@s"]
    assert spent["relabel@s arbiter"]["one"]["requests"] == differing > 0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The tiny base under two names, so that a committee can differ, behind vLLM's own server."""
    compact = '{"backend": "xgrammar", "disable_any_whitespace": true}'
    # vLLM 0.32 dies on the CPU of a request with a seed whose prompt is read in several chunks.
    whole = "--max-model-len 8192 --no-enable-chunked-prefill --max-num-batched-tokens 8192"
    options = f"--model {BASE} --served-model-name one two --dtype bfloat16 {whole}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        with serve(
            tmp_path_factory.mktemp("server") / "log",
            [*options.split(), "--enforce-eager", "--structured-outputs-config", compact],
        ) as url:
            yield url


def asking(shipped: dict[str, Any], url: str) -> dict[str, Any]:
    """params.yaml with all roles played by what is served there."""
    place = {"backend": "openai", "base_url": url, "requests_at_once": 9}
    content = llm_params(shipped, {name: place | {"model": name} for name in ("one", "two")})
    for section in ("relabel", "synthesize"):
        content[section] |= {"temperature": TEMPERATURE, "max_tokens": 800}
    return content


@needs_engine
def test_roles_run_on_a_server(
    tmp_path: Path, shipped: dict[str, Any], served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFT_CACHE", str(tmp_path / "cache"))
    params = Params.model_validate(asking(shipped, served))
    models = connect(params.llm)
    given = [
        filter_role.choose(params.filter, models, "filter@s")(SEVERAL, TASK),
        relabel_role.choose(params.relabel, models, "relabel@s")(SEVERAL, TASK),
        synthesize_role.choose(params.synthesize, models, "synthesize@s")([], [], TASK)(PLANS),
    ]
    differing = check_shape(*given)
    spent = models.metrics()
    assert spent["filter@s"]["one"]["requests"] == len(SEVERAL)
    assert spent["relabel@s committee"].keys() == {"one", "two"}
    assert spent["relabel@s arbiter"]["one"]["requests"] == differing > 0
    assert spent["synthesize@s"]["one"]["requests"] == len(PLANS)
    assert all(row["prompt_tokens"] for models in spent.values() for row in models.values())


def counted_by(server: str) -> tuple[int, int]:
    """The tokens that vLLM's server has read and written so far, once it has counted them all."""
    found, before = Counter[str](), None
    while found != before:
        time.sleep(1)  # it counts a little later than it answers
        before, found = found, Counter[str]()
        told = requests.get(server.removesuffix("/v1") + "/metrics", timeout=30).text
        for kind, number in re.findall(
            r"^vllm:(prompt|generation)_tokens_total\{.*\} (.*)$", told, re.M
        ):
            found[kind] += int(float(number))
    return found["prompt"], found["generation"]


def run_twice(name: str, server: str) -> Result:
    """Run a stage, whose tokens are those that the server counts, and run it again for nothing.

    For nothing but what was refused, which is asked anew, and what follows from that.
    """
    before = counted_by(server)
    done = run_stage(name, S2)
    first = said_of_requests(done)
    after = counted_by(server)
    if done.exit_code == 0:
        usage = json.loads(Path(SUMMARIES[name].format(S2)).read_text(encoding="utf-8"))
        assert tokens(usage) == (after[0] - before[0], after[1] - before[1])
    again = run_stage(name, S2)
    second = said_of_requests(again)
    for step, (asked, cached, refused) in first.items():
        assert cached == 0
        if not step.endswith("arbiter"):
            assert second[step][:2] == (asked, asked - refused)
    if not any(refused for _, _, refused in first.values()):
        assert counted_by(server) == after
    return again


def said_of_requests(done: Result) -> dict[str, tuple[int, int, int]]:
    """What a stage says on the terminal: by step, how many were asked, cached and refused."""
    told = r"^(.*@.*): (\d+) requests, (\d+) from the cache, (\d+) refused"
    lines = re.findall(told, done.stdout, re.MULTILINE)
    found: dict[str, tuple[int, int, int]] = {}
    for step, *numbers in lines:  # rounds add up
        sums = zip(found.get(step, (0, 0, 0)), map(int, numbers), strict=True)
        found[step] = tuple(map(sum, sums))
    return found


@needs_engine
@pytest.mark.usefixtures("project")
def test_stages_run_one_after_the_other_on_a_server(shipped: dict[str, Any], served: str) -> None:
    """The model writes nonsense, so here is what holds whatever it writes."""
    content = asking(shipped, served)
    content["builtin"] |= FEW
    content["filter"]["thresholds"][S2] = {"min_relevance": 1, "min_coherence": 1}
    content["synthesize"] |= {"exemplars": 1, "context": 1, "target": 9, "batch": 4, "rounds": 2}
    YAML().dump(content, Path("params.yaml"))
    write_s2(Params.model_validate(content), 8)
    traces = read_conversations(Path(f"data/direct/{S2}/train.parquet"))

    assert run_twice("filter", served).exit_code == 0
    filtered = json.loads(Path(f"data/filtered/{S2}/summary.json").read_text(encoding="utf-8"))
    scores = read_rows(Path(f"data/filtered/{S2}/scores.parquet"), RELEVANCE)
    assert [row["conversation"] for row in scores] == [one.id for one in traces]
    without = [row for row in scores if row["reason"].startswith("no score: ")]
    assert all((row["relevance"] == 0) == (row in without) == (not row["kept"]) for row in scores)
    [row] = filtered["llm"][f"filter@{S2}"].values()
    assert sum(row["refusals"].values()) == filtered["rejected"] == len(without)

    assert run_twice("relabel", served).exit_code == 0
    relabelled = json.loads(Path(f"data/relabeled/{S2}/summary.json").read_text(encoding="utf-8"))
    rows = read_rows(Path(f"data/relabeled/{S2}/decisions.parquet"), DECISIONS)
    scored = {row["conversation"] for row in scores if row["kept"]}
    assert [(row["conversation"], row["turn"]) for row in rows] == [
        (one.id, turn) for one in traces if one.id in scored for turn, _ in one.turns()
    ]
    votes = [json.loads(row["votes"]) for row in rows]
    assert all(vote.keys() == {"one", "two"} for vote in votes)
    differing = {
        row["conversation"]
        for row, vote in zip(rows, votes, strict=True)
        if None not in vote.values() and vote["one"] != vote["two"]
    }
    judged = {row["conversation"] for row in rows if row["reason"].startswith("arbiter ")}
    assert judged == differing
    asked = relabelled["llm"][f"relabel@{S2} arbiter"]["one"]["requests"]
    assert asked == len(differing) > 0

    done = run_twice("synthesize", served)
    assert done.exit_code == 1
    [error] = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    drafts = read_rows(Path(f"data/tft/{S2}/drafts.parquet"), DRAFTS)
    kept = [row for row in drafts if row["kept"]]
    assert f"{len(kept)} of 9 conversations after 2 rounds" in error
    assert [row["conversation"] for row in drafts] == [f"tft-{number:05}" for number in range(8)]
    assert all(row["reason"] for row in drafts)
    assert not Path(f"data/tft/{S2}/train.parquet").exists()
