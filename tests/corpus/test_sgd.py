import gzip
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from fixtures.sgd_archive import (
    COMMIT,
    DIALOGUES,
    SCHEMA,
    TOP,
    dialogue,
    files_of,
    params_of,
    service,
    write_archive,
)

from tft.core.conversation import Conversation, Message, assistant, user
from tft.core.errors import InputError
from tft.core.task import RESPOND, Task
from tft.corpus import archive as archive_module
from tft.corpus.config import SgdConfig
from tft.corpus.sgd import (
    read_dialogues,
    read_schemas,
    read_sgd,
    split_sgd,
    task_of,
    to_conversation,
)

Corpus = tuple[list[Conversation], Task]

# --- a data set of one dialogue, small enough to break in every way ----------------------------


def test_a_dialogue_becomes_calls_results_and_messages() -> None:
    trace = to_conversation(DIALOGUES, dialogue())
    assert trace.messages == (
        user("A bus to Łódź"),
        assistant("FindBus", {"to": "Łódź"}),
        user(json.dumps([{"fare": "3", "to": "Łódź"}])),
        assistant(RESPOND, {"message": "It is 3."}),
        user("Bye"),
        assistant(RESPOND, {"message": "Bye!"}),
    )
    assert (trace.id, trace.source) == ("1_00007", "Buses_9")


def test_ids_that_repeat_between_train_dev_and_test_stay_distinct() -> None:
    ids = [to_conversation(f"{split}/x.json", dialogue()).id for split in ("train", "dev", "test")]
    assert ids == ["1_00007", "dev/1_00007", "test/1_00007"]


def test_archive_and_folder_give_the_same_conversations(
    small_sgd: tuple[Path, SgdConfig], tmp_path: Path
) -> None:
    archive, params = small_sgd
    folder = tmp_path / "unpacked"
    with tarfile.open(archive) as packed:
        packed.extractall(folder)
    assert read_sgd(str(folder / TOP), params) == read_sgd(str(archive), params)


def test_an_address_is_downloaded_once(
    small_sgd: tuple[Path, SgdConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, params = small_sgd
    monkeypatch.setenv("TFT_CACHE", str(tmp_path / "cache"))
    content = archive.read_bytes()
    with serve(content, announced=len(content)) as (address, requests):
        first = read_sgd(f"{address}/{COMMIT}.tar.gz", params)
        assert read_sgd(f"{address}/{COMMIT}.tar.gz", params) == first
    assert first == read_sgd(str(archive), params)
    assert len(requests) == 1


def test_a_download_that_breaks_off_leaves_nothing(
    small_sgd: tuple[Path, SgdConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, params = small_sgd
    monkeypatch.setenv("TFT_CACHE", str(tmp_path / "cache"))
    with (
        serve(archive.read_bytes()[:100], announced=1000) as (address, _),
        pytest.raises(InputError, match=r"cannot be downloaded .*TFT_SGD_ARCHIVE"),
    ):
        read_sgd(f"{address}/a.tar.gz", params)
    assert not list((tmp_path / "cache" / "downloads").iterdir())


def test_a_killed_download_starts_afresh(
    small_sgd: tuple[Path, SgdConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, params = small_sgd
    monkeypatch.setenv("TFT_CACHE", str(tmp_path / "cache"))
    downloads, content, goes_on = tmp_path / "cache/downloads", archive.read_bytes(), Event()
    with serve(content, announced=len(content), goes_on=goes_on) as (address, requests):
        code = "import sys; from tft.corpus.archive import download; download(sys.argv[1], '')"
        killed = subprocess.Popen([sys.executable, "-c", code, f"{address}/a.tar.gz"])
        while not requests or not list(downloads.glob("*")):
            assert killed.poll() is None
            time.sleep(0.05)
        killed.kill()
        killed.wait()
        goes_on.set()
        assert not list(downloads.glob("*.gz"))
        assert read_sgd(f"{address}/a.tar.gz", params) == read_sgd(str(archive), params)
    assert len(requests) == 2


def test_an_address_may_end_in_the_checksum_of_the_archive(
    small_sgd: tuple[Path, SgdConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, params = small_sgd
    monkeypatch.setenv("TFT_CACHE", str(tmp_path / "cache"))
    content = archive.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with serve(content, announced=len(content)) as (address, _):
        with pytest.raises(InputError, match=rf"a\.tar\.gz: cannot be .*got {digest}") as caught:
            read_sgd(f"{address}/a.tar.gz#sha256={'0' * 64}", params)
        assert "\n" not in caught.value.message
        assert not list((tmp_path / "cache/downloads").iterdir())
        read_sgd(f"{address}/a.tar.gz#sha256={digest}", params)


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org", "[::2]", "localhost.eu"])
def test_plain_http_is_refused_except_on_this_machine(host: str) -> None:
    with pytest.raises(
        InputError, match=r"use https, or set TFT_SGD_ARCHIVE \(or sgd\.archive"
    ) as e:
        read_sgd(f"http://{host}/a.tar.gz", params_of({}))
    assert e.value.message.startswith(f"http://{host}/a.tar.gz: plain http")


def test_a_redirect_to_plain_http_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    """The second server stands for one elsewhere: nothing here may ask another machine."""
    monkeypatch.setenv("TFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(archive_module, "LOOPBACK", re.compile("localhost"))
    with (
        serve(b"x", announced=1) as (elsewhere, _),
        serve(b"", announced=0, moved_to=f"{elsewhere}/b.tar.gz") as (address, _),
        pytest.raises(InputError, match=rf"^{elsewhere}/b\.tar\.gz: plain http"),
    ):
        read_sgd(f"{address.replace('127.0.0.1', 'localhost')}/a.tar.gz", params_of({}))
    assert not list((tmp_path / "cache/downloads").iterdir())


@contextmanager
def serve(
    body: bytes, announced: int, moved_to: str | None = None, goes_on: Event | None = None
) -> Iterator[tuple[str, list[str]]]:
    """A local web server: its address, and the paths asked for.

    Args:
        body: of every answer.
        announced: length of the body, in bytes, as the answer's head says.
        moved_to: where it redirects to.
        goes_on: until it is set, nothing follows the head.
    """
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(302 if moved_to else 200)
            if moved_to:
                self.send_header("Location", moved_to)
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            if goes_on:
                goes_on.wait(60)
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()


# --- bad input: one error that says where and what --------------------------------------------


def test_an_error_about_a_missing_archive_says_how_to_name_one() -> None:
    with pytest.raises(InputError, match=r"/nowhere/x\.tar\.gz: no such .*TFT_SGD_ARCHIVE"):
        read_sgd("/nowhere/x.tar.gz", params_of({}))


def test_a_truncated_archive_is_an_error_unless_only_the_end_mark_is_cut(
    small_sgd: tuple[Path, SgdConfig],
) -> None:
    archive, params = small_sgd
    content, whole = archive.read_bytes(), read_sgd(str(archive), params)
    errors = 0
    for kept in range(0, len(content), 5):
        archive.write_bytes(content[:kept])
        try:
            assert read_sgd(str(archive), params) == whole
        except InputError as error:
            errors += 1
            assert (
                "sgd.tar.gz: not a complete .tar.gz" in error.message or "missing" in error.message
            )
    assert errors > 0.8 * len(content) / 5


def test_a_file_that_is_not_an_archive_is_an_error(small_sgd: tuple[Path, SgdConfig]) -> None:
    archive, params = small_sgd
    archive.write_bytes(gzip.compress(b"no tar at all" * 100))
    with pytest.raises(InputError, match="not a complete"):
        read_sgd(str(archive), params)


@pytest.mark.parametrize("top", ["x", "x-0123", f"x-1{COMMIT[1:]}", f"x-{COMMIT}0"])
def test_another_commit_is_an_error(tmp_path: Path, top: str) -> None:
    files = files_of(dialogue())
    write_archive(tmp_path / "a.tar.gz", files, top)
    with pytest.raises(InputError, match=rf"a\.tar\.gz: top folder '{top}': expected .*{COMMIT}"):
        read_sgd(str(tmp_path / "a.tar.gz"), params_of(files))


def test_a_folder_packed_by_hand_is_an_error(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path, ".", recursive=False)
    with pytest.raises(InputError, match=r"a\.tar\.gz: top folder '': expected"):
        read_sgd(str(tmp_path / "a.tar.gz"), params_of(files_of(dialogue())))


def test_a_prefix_of_the_commit_is_accepted(tmp_path: Path) -> None:
    files = files_of(dialogue())
    write_archive(tmp_path / "a.tar.gz", files, f"sgd-{COMMIT[:7]}")
    assert len(read_sgd(str(tmp_path / "a.tar.gz"), params_of(files))[0]) == 1


def test_a_changed_file_is_an_error_with_both_checksums(small_sgd: tuple[Path, SgdConfig]) -> None:
    archive, params = small_sgd
    files = files_of(dialogue())
    files[DIALOGUES] += b"\n"
    write_archive(archive, files)
    got = hashlib.sha256(files[DIALOGUES]).hexdigest()
    expected = f"{DIALOGUES}: sha256 expected {params.sha256[DIALOGUES]}, got {got}"
    with pytest.raises(InputError, match=expected):
        read_sgd(str(archive), params)


@pytest.mark.parametrize("name", [DIALOGUES, SCHEMA])
def test_an_error_names_the_missing_file(tmp_path: Path, name: str) -> None:
    files = files_of(dialogue())
    params = params_of(files)
    del files[name]
    files["train/other.json"] = b""
    write_archive(tmp_path / "a.tar.gz", files)
    with pytest.raises(InputError, match=rf"a\.tar\.gz: missing {name}"):
        read_sgd(str(tmp_path / "a.tar.gz"), params)


@pytest.mark.parametrize("name", [DIALOGUES, SCHEMA])
@pytest.mark.parametrize("content", [b"", b'[{"dialogue_id"', b"\xff\xfe"])
def test_invalid_json_is_an_error_that_names_the_file(
    tmp_path: Path, name: str, content: bytes
) -> None:
    files = files_of(dialogue()) | {name: content}
    write_archive(tmp_path / "a.tar.gz", files)
    with pytest.raises(InputError, match=rf"a\.tar\.gz: {name}: not JSON"):
        read_sgd(str(tmp_path / "a.tar.gz"), params_of(files))


def broken(turn: int, **changes: Any) -> dict[str, Any]:
    """The dialogue with keys of one turn replaced, or removed where the value is None."""
    item = dialogue()
    for key, value in changes.items():
        item["turns"][turn][key] = value
        if value is None:
            del item["turns"][turn][key]
    return item


CALL = {"method": "FindBus", "parameters": {}}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (broken(2, speaker=None), "turn 2: speaker: Field required"),
        (broken(2, speaker="TOOL"), "turn 2: speaker: .*'USER' or 'SYSTEM', got 'TOOL'"),
        (broken(2, speaker="SYSTEM"), "turn 2: speaker: expected USER, got SYSTEM"),
        (broken(0, utterance=None), "turn 0: utterance: Field required"),
        (broken(0, utterance=7), "turn 0: utterance: .*string, got 7"),
        (broken(1, frames=None), "turn 1: frames: Field required"),
        (broken(1, frames=[]), "turn 1: frames: .*at least 1"),
        (broken(1, frames=[{}, {}]), "turn 1: frames: .*at most 1"),
        (broken(3, frames=[{"service_call": CALL}]), "turn 3: .*come together"),
        (broken(3, frames=[{"service_results": []}]), "turn 3: .*come together"),
        (broken(0, frames=[{"service_call": CALL, "service_results": []}]),
         "turn 0: Value error, .*USER"),
        (broken(1, frames=[{"service_call": {"method": "F"}, "service_results": []}]),
         r"turn 1: frames\.0\.service_call\.parameters: Field required"),
        (broken(1, frames=[{"service_call": CALL, "service_results": ["x"]}]),
         r"turn 1: frames\.0\.service_results\.0"),
        (dialogue() | {"turns": []}, "turns: .*at least 1"),
        (dialogue() | {"turns": [3]}, "turn 0: .*got 3"),
        (dialogue() | {"turns": None}, "turns: .*got None"),
    ],
)  # fmt: skip
def test_an_error_names_the_broken_turn(tmp_path: Path, item: dict[str, Any], message: str) -> None:
    files = files_of(item)
    write_archive(tmp_path / "a.tar.gz", files)
    with pytest.raises(
        InputError, match=rf"a\.tar\.gz: {DIALOGUES}: dialogue 1_00007: {message}"
    ) as caught:
        read_sgd(str(tmp_path / "a.tar.gz"), params_of(files))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("item", [3, None, {}, {"services": "Buses_9"}])
def test_a_file_without_dialogues_is_an_error(tmp_path: Path, item: Any) -> None:
    files = files_of(item)
    write_archive(tmp_path / "a.tar.gz", files)
    with pytest.raises(InputError, match=f"{DIALOGUES}: dialogue 0: expected an object"):
        read_sgd(str(tmp_path / "a.tar.gz"), params_of(files))


def test_a_broken_schema_is_an_error(tmp_path: Path) -> None:
    files = files_of(dialogue()) | {SCHEMA: json.dumps([{"service_name": "Buses_9"}]).encode()}
    write_archive(tmp_path / "a.tar.gz", files)
    with pytest.raises(InputError, match=rf"{SCHEMA}: 0\.description: Field required"):
        read_sgd(str(tmp_path / "a.tar.gz"), params_of(files))


def test_an_error_about_an_unknown_service_lists_the_known_ones(
    small_sgd: tuple[Path, SgdConfig],
) -> None:
    archive, params = small_sgd
    params = params.model_copy(update={"other_services": ["Trains_1"]})
    with pytest.raises(InputError, match=r"no schema of Trains_1 .*there are Buses_9"):
        read_sgd(str(archive), params)


def test_held_out_dialogues_must_exist(small_sgd: tuple[Path, SgdConfig]) -> None:
    archive, params = small_sgd
    params = params.model_copy(update={"held_out": ["1_00007", "1_99999"]})
    with pytest.raises(InputError, match=r"sgd\.held_out, sgd\.dropped: no dialogue 1_99999"):
        split_sgd(read_sgd(str(archive), params)[0], params)


def test_only_wanted_services_and_pinned_files_are_read(tmp_path: Path) -> None:
    files = files_of(dialogue())
    params = params_of(files)
    other = dialogue() | {"services": ["Trains_1"]}
    two = dialogue() | {"services": ["Trains_1", "Buses_9"]}
    files["dev/dialogues_001.json"] = json.dumps([dialogue(), other, two]).encode()
    write_archive(tmp_path / "a.tar.gz", files)
    archive = str(tmp_path / "a.tar.gz")

    def read(services: set[str] | None, pinned_only: bool = False) -> list[tuple[str, str]]:
        return [
            (member.split("/")[0], item["services"][0])
            for member, item in read_dialogues(archive, params, services, pinned_only)
        ]

    assert read(None) == [("train", "Buses_9"), ("dev", "Buses_9"), ("dev", "Trains_1")]
    assert read({"Trains_1"}) == [("dev", "Trains_1")]
    assert read(None, pinned_only=True) == [("train", "Buses_9")]


def test_a_service_becomes_a_task_with_a_tool_to_talk_and_one_per_intent() -> None:
    task = task_of(service())
    assert [tool.name for tool in task.tools] == [RESPOND, "FindBus"]
    assert task.tools[1].parameters == {
        "type": "object",
        "properties": {
            "to": {"type": "string", "description": "the to"},
            "seats": {"type": "string", "description": "the seats", "enum": ["1", "2"]},
        },
        "required": ["to"],
    }
    assert "Find buses" in task.description


# --- the real data -----------------------------------------------------------------------------


def contents(traces: list[Conversation]) -> Counter[str]:
    """How often each content occurs, whatever its id; as JSON, since calls hold dicts."""
    return Counter(repr([sorted_call(m) for m in trace.messages]) for trace in traces)


def sorted_call(message: Message) -> tuple[str, str | None, str | None]:
    call = message.tool_call
    return message.role, message.content, call and f"{call.name} {call.arguments_json}"


def test_the_benchmark_has_367_and_146_and_142_dialogues(sgd: Corpus) -> None:
    sources = Counter(trace.source for trace in sgd[0])
    assert sources == {"Restaurants_1": 367, "Restaurants_2": 146, "Hotels_1": 142}


def test_the_training_traces_are_the_published_ones(
    sgd: Corpus, published: Corpus, sgd_params: SgdConfig
) -> None:
    train, _ = split_sgd(sgd[0], sgd_params)
    ours = [trace for trace in train if trace.source == "Restaurants_1"]
    theirs = [item for item in published[0] if item.source == "published/scenario-1-baseline"]
    assert len(ours) == len(theirs) == 327
    assert contents(ours) == contents(theirs)


def test_held_out_dialogues_are_the_published_test_set_but_for_9_corrections(
    sgd: Corpus, published: Corpus, sgd_params: SgdConfig
) -> None:
    _, test = split_sgd(sgd[0], sgd_params)
    by_id = {trace.id: trace for trace in test}
    theirs = [item for item in published[0] if item.source == "published/test"]
    assert len(by_id) == len(sgd_params.held_out) == len(theirs) == 34
    # held_out is in the published order, so that dialogues can be told apart though all are edited
    corrected = [
        name
        for name, item in zip(sgd_params.held_out, theirs, strict=True)
        if by_id[name].messages != item.messages
    ]
    assert corrected == [
        "43_00097", "1_00028", "1_00054", "2_00020", "1_00073", "1_00091", "2_00071", "2_00030",
        "1_00070",
    ]  # fmt: skip


def test_the_test_set_has_the_published_number_of_turns(
    sgd: Corpus, published: Corpus, sgd_params: SgdConfig
) -> None:
    def turns(traces: list[Conversation]) -> Counter[str]:
        return Counter(call.name for trace in traces for _, call in trace.turns())

    theirs = turns([item for item in published[0] if item.source == "published/test"])
    assert theirs == {RESPOND: 287, "ReserveRestaurant": 44, "FindRestaurants": 28}
    # Uncorrected, 2_00020 has a last goodbye more (+1) and 43_00097 a reservation for a search.
    ours = turns(split_sgd(sgd[0], sgd_params)[1])
    assert ours == {RESPOND: 288, "ReserveRestaurant": 45, "FindRestaurants": 27}


def test_train_and_test_share_no_dialogue(sgd: Corpus, sgd_params: SgdConfig) -> None:
    train, test = split_sgd(sgd[0], sgd_params)
    assert not {item.id for item in train} & {item.id for item in test}
    assert len(train) + len(test) == len(sgd[0]) - 6
    assert not {item.id for item in train + test} & set(sgd_params.dropped)


def test_service_tools_equal_the_published(sgd: Corpus, published: Corpus) -> None:
    ours, theirs = sgd[1].tools, published[1].tools
    assert [tool.name for tool in ours] == [tool.name for tool in theirs]
    assert ours[1:] == theirs[1:]
    for mine, yours in zip(ours, theirs, strict=True):  # the order counts in a prompt
        assert list(mine.parameters["properties"]) == list(yours.parameters["properties"])
        assert mine.parameters["required"] == yours.parameters["required"]


def test_every_service_has_a_task(sgd_archive: Path, sgd_params: SgdConfig) -> None:
    schemas = read_schemas(str(sgd_archive), sgd_params)
    assert len(schemas) == 45
    for name, schema in schemas.items():
        task = task_of(schema)
        assert len(task.tools) == 1 + len(schema["intents"]), name
        assert schema["description"] in task.description


def test_a_wrong_checksum_of_the_archive_is_an_error(
    sgd_archive: Path, sgd_params: SgdConfig
) -> None:
    wrong = sgd_params.model_copy(
        update={"sha256": {**sgd_params.sha256, "dev/dialogues_004.json": "0" * 64}}
    )
    with pytest.raises(InputError, match=r"dev/dialogues_004\.json: sha256 expected 000"):
        read_sgd(str(sgd_archive), wrong)
