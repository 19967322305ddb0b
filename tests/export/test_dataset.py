"""The exported data set: loaded by `datasets`, trained on by TRL, uploaded to a Hub."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import datasets
import jinja2
import pytest
import trl
from click.testing import CliRunner
from datasets import Dataset, load_dataset
from fixtures.boats import TASK, boats
from fixtures.repository import ROOT
from huggingface_hub import DatasetCard
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

from tft.cli.export import export_command
from tft.core.conversation import Conversation, assistant, user
from tft.core.errors import InputError
from tft.core.tables import write_conversations
from tft.core.task import RESPOND, write_task
from tft.export.dataset import CardValues, export_dataset, messages_of
from tft.student.encode import encode
from tft.student.template import TEMPLATE, load_tokenizer

BASE = ROOT / "models" / "base"
ROLES = {"filter": "rules", "relabel": "rules", "synthesize": "rules"}
ORIGIN = CardValues("builtin", "low_data", "low_data", "tft", ROLES)
CONVERSATION = Conversation(
    "c1",
    "boats",
    (
        user("A boat at Łódź, please"),
        assistant("RentBoat", {"pier": "Łódź", "hours": 1.5}),
        user('[{"berth": "B7"}]'),
        assistant(RESPOND, {"message": "It is {yours}."}),
        user("Thanks"),
        assistant(RESPOND, {"message": "Bye"}),
    ),
)


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that a template names and the code lacks is an error here; else it prints nothing."""
    strict_template = partial(jinja2.Template, undefined=jinja2.StrictUndefined)
    monkeypatch.setattr(jinja2, "Template", strict_template)


def load(folder: Path, cache: Path) -> Dataset:
    return load_dataset(str(folder), split="train", cache_dir=str(cache))


def call(name: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name, "arguments": arguments}}]


def test_messages_have_the_roles_and_keys_of_the_conversational_form() -> None:
    assert messages_of(CONVERSATION, TASK) == [
        {"role": "system", "content": "You lend out boats."},
        {"role": "user", "content": "A boat at Łódź, please"},
        {"role": "assistant", "content": "",
         "tool_calls": call("RentBoat", {"pier": "Łódź", "hours": 1.5})},
        {"role": "tool", "name": "RentBoat", "content": '[{"berth": "B7"}]'},
        {"role": "assistant", "content": "",
         "tool_calls": call(RESPOND, {"message": "It is {yours}."})},
        {"role": "user", "content": "Thanks"},
        {"role": "assistant", "content": "", "tool_calls": call(RESPOND, {"message": "Bye"})},
    ]  # fmt: skip


def test_a_user_message_after_a_wrong_call_is_not_a_tool_result() -> None:
    """As S2 damages traces: a service is called where the agent should have talked."""
    trace = Conversation("c", "boats", (user("Hi"), assistant("RentBoat", {}), user("42 hours")))
    assert messages_of(trace, TASK)[-1] == {"role": "user", "content": "42 hours"}


def test_rows_load_as_they_were_exported_without_keys_of_other_rows(tmp_path: Path) -> None:
    """`n` of RentBoat and `message` of the other tool would fill each other up with None."""
    conversations = [CONVERSATION, *boats(5)]
    export_dataset(conversations, TASK, ORIGIN, tmp_path / "out")
    rows = load(tmp_path / "out", tmp_path / "cache").to_list()
    assert rows == [
        {
            "id": conversation.id,
            "source": "boats",
            "messages": messages_of(conversation, TASK),
            "tools": TASK.tools_openai(),
        }
        for conversation in conversations
    ]
    # Key by key in their order, in which a chat template renders them.
    assert json.dumps(rows[0]["tools"]) == json.dumps(TASK.tools_openai())


def test_the_same_conversations_give_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b", "b"):
        export_dataset(boats(5), TASK, ORIGIN, tmp_path / name)
    a, b = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        for name in ("a", "b")
    )
    assert a == b
    assert set(a) == {"README.md", "chat_template.jinja", "train-00000-of-00001.parquet"}


def test_a_changed_export_is_not_loaded_from_the_cache(tmp_path: Path) -> None:
    """Not the former one from the cache of `datasets`, whose key holds a folder's last name."""
    for folder, number in (("a/out", 1), ("b/out", 2), ("b/out", 3)):
        export_dataset(boats(number), TASK, ORIGIN, tmp_path / folder)
        assert len(load(tmp_path / folder, tmp_path / "cache")) == number


def test_a_number_that_cannot_be_read_back_is_an_error_that_names_the_message(
    tmp_path: Path,
) -> None:
    big = Conversation("c7", "boats", (user("Hi"), assistant("RentBoat", {"n": 2**64})))
    with pytest.raises(InputError, match=r"conversation 'c7': .*RentBoat.*beyond 64 bits"):
        export_dataset([big], TASK, ORIGIN, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"contains notes\.txt; name an empty folder"):
        export_dataset(boats(1), TASK, ORIGIN, tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("corpus", "pipeline", "license_", "said"),
    [
        ("builtin", "tft", "apache-2.0", "generated by rules"),
        ("sgd", "direct", "cc-by-sa-4.0", "Schema-Guided Dialogue dataset"),
        ("traces", "filtered", None, "The traces are yours"),
    ],
)
def test_the_card_says_where_the_conversations_come_from(
    tmp_path: Path, corpus: str, pipeline: str, license_: str | None, said: str
) -> None:
    values = CardValues(corpus, "noisy_labels", "noisy_labels", pipeline, ROLES)
    stray = Conversation("s", "boats", (user("Hi"), assistant("HireBoat", {})))
    export_dataset([CONVERSATION, stray], TASK, values, tmp_path)
    card = DatasetCard((tmp_path / "README.md").read_text(encoding="utf-8"))
    told = " ".join(card.text.split())
    assert said in told
    assert "2 conversations of a tool-calling agent with 4 assistant turns" in told
    assert "| respond_to_user | Talk. | 2 |" in card.text
    assert "1 more tools are called without being declared: HireBoat." in told
    assert card.data.license == license_
    assert card.data.size_categories == "n<1K"


# --- what other software makes of it -----------------------------------------------------------


def test_the_exported_template_renders_as_the_students(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(BASE), "unified")
    export_dataset(boats(1), TASK, ORIGIN, tmp_path)
    exported = (tmp_path / "chat_template.jinja").read_text(encoding="utf-8")
    messages = [*messages_of(CONVERSATION, TASK), {"role": "assistant", "content": "As text."}]
    for tools, prompt, start in [(TASK.tools_openai(), False, 0), (None, True, 1)]:
        texts = [
            tokenizer.apply_chat_template(
                messages[start:],
                tools=tools,
                chat_template=template,
                add_generation_prompt=prompt,
                tokenize=False,
            )
            for template in (exported, TEMPLATE.read_text(encoding="utf-8"))
        ]
        assert texts[0] == texts[1]


def test_trl_trains_on_the_tokens_and_targets_that_students_are_trained_on(tmp_path: Path) -> None:
    conversations = [CONVERSATION, *boats(3)]
    export_dataset(conversations, TASK, ORIGIN, tmp_path / "out")
    code = python_of((tmp_path / "out/README.md").read_text(encoding="utf-8"))
    code = code.replace("path/to/this/folder", str(tmp_path / "out"))
    code = code.replace("Qwen/Qwen3-0.6B", str(BASE))
    names: dict[str, Any] = {
        "SFTConfig": partial(SFTConfig, use_cpu=True, bf16=False, max_steps=2, report_to="none")
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        patch.setattr(trl, "SFTConfig", names["SFTConfig"])
        patch.chdir(tmp_path)
        exec(code, names)

    trainer = names["trainer"]
    assert trainer.state.global_step == 2
    assert 0 < trainer.state.log_history[-1]["train_loss"] < 20
    tokenizer = load_tokenizer(str(BASE), "unified")
    for row, conversation in zip(trainer.train_dataset, conversations, strict=True):
        ours = encode(tokenizer, TASK, conversation, 4096)
        assert not ours.branches
        assert row["input_ids"][: len(ours.trunk)] == ours.trunk
        assert tokenizer.decode(row["input_ids"][len(ours.trunk) :]).strip() == ""
        targets = {index for start, end in ours.targets for index in range(start, end)}
        assert targets == {index for index, label in enumerate(row["labels"]) if label != -100}


def test_trl_trains_with_the_template_that_the_base_ships(tmp_path: Path) -> None:
    export_dataset(boats(2), TASK, ORIGIN, tmp_path / "out")
    config = SFTConfig(
        str(tmp_path / "run"), max_length=None, max_steps=1, use_cpu=True, bf16=False,
        report_to="none", save_strategy="no",
    )  # fmt: skip
    dataset = load(tmp_path / "out", tmp_path / "cache")
    trainer = SFTTrainer(str(BASE), train_dataset=dataset, args=config)
    trainer.train()
    assert trainer.state.global_step == 1
    tokenizer = load_tokenizer(str(BASE), "unified")
    trunk = encode(tokenizer, TASK, boats(1)[0], 4096).trunk
    assert trainer.train_dataset[0]["input_ids"][: len(trunk)] == trunk


@pytest.mark.parametrize(
    ("name", "in_it"),
    [
        ("qwen3", ['{"name": "RentBoat", "arguments": {"pier": "Łódź", "hours": 1.5}}']),
        ("llama3_1", ['{"name": "RentBoat", "parameters": {"pier": "Łódź", "hours": 1.5}}']),
        ("gptoss", ["to=functions.RentBoat", '{"pier": "Łódź", "hours": 1.5}']),
    ],
)
def test_other_models_templates_render_the_rows(
    tmp_path: Path, name: str, in_it: list[str]
) -> None:
    """Those of Llama fail at a message whose `tool_calls` is None, as structs would have it."""
    export_dataset([CONVERSATION], TASK, ORIGIN, tmp_path / "out")
    row = load(tmp_path / "out", tmp_path / "cache")[0]
    folder = Path(trl.__file__).parent / "chat_templates"
    template = (folder / f"{name}.jinja").read_text(encoding="utf-8")
    text = AutoTokenizer.from_pretrained(BASE).apply_chat_template(
        row["messages"], tools=row["tools"], chat_template=template, tokenize=False
    )
    for part in [*in_it, "B7", "It is {yours}.", "You lend out boats."]:
        assert part in text


def python_of(card: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    return str(code)


# --- the command -------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the command reads."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"))
    write_conversations(tmp_path / "data/tft/low_data/train.parquet", boats(3))
    write_task(tmp_path / "data/split/task.json", TASK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_exports_a_student_s_conversations(project: Path) -> None:
    result = CliRunner().invoke(export_command, ["low_data-tft", "--to", "out"])
    assert (result.exit_code, result.output) == (0, "out: 3 conversations\n")
    assert len(load(project / "out", project / "cache")) == 3


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("student", "message"),
    [
        ("tft", "no student 'tft'; it is SCENARIO-PIPELINE, of baseline, "),
        ("low_data-raw", "no student 'low_data-raw'"),
        ("low_data-direct", "train.parquet: no such file; `dvc repro` makes it"),
    ],
)
def test_an_error_about_an_unknown_student_is_one_line(student: str, message: str) -> None:
    result = CliRunner().invoke(export_command, [student, "--to", "out"])
    assert result.exit_code == 1
    assert message in result.output
    assert result.output.count("\n") == 1


def test_the_command_uploads_what_it_wrote(project: Path) -> None:
    """To a server here that speaks the Hub's protocol, with the token of the environment."""
    with hub() as (address, asked):
        pushed = export(project, address, HF_TOKEN="hf_test")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.splitlines()[-1] == f"{address}/datasets/me/boats"
    assert {token for _, token, _ in asked} == {"Bearer hf_test"}
    bodies = {path: body for path, _, body in asked}
    created = json.loads(bodies["/api/repos/create"])
    assert (created["name"], created["type"], created["visibility"]) == (
        "boats",
        "dataset",
        "private",
    )
    lines = map(json.loads, bodies["/api/datasets/me/boats/commit/main"].splitlines())
    files = {
        line["value"]["path"]: base64.b64decode(line["value"]["content"])
        for line in lines
        if line["key"] == "file"
    }
    assert files == {
        name: (project / "out" / name).read_bytes()
        for name in ("README.md", "chat_template.jinja", "data/train-00000-of-00001.parquet")
    }
    assert 'load_dataset("me/boats", split="train")' in python_of(files["README.md"].decode())


def test_an_error_of_the_hub_is_one_line(project: Path) -> None:
    with hub(refuses=True) as (address, _):
        pushed = export(project, address)
    assert pushed.returncode == 1
    assert pushed.stderr.startswith("Error: me/boats: cannot be uploaded (")
    assert "log in with `hf auth login` or set HF_TOKEN" in pushed.stderr
    assert pushed.stderr.count("\n") == 1


def export(project: Path, address: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own: huggingface_hub reads the environment on import."""
    code = "from tft.cli.export import export_command; export_command()"
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    own = {"HF_ENDPOINT": address, "HF_HOME": str(project / "hf"), "HF_HUB_DISABLE_XET": "1"}
    own |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", **variables}
    return subprocess.run(
        [sys.executable, "-c", code, "low_data-tft", "--to", "out", "--push", "me/boats"],
        env=inherited | own, cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip


@contextmanager
def hub(refuses: bool = False) -> Iterator[tuple[str, list[tuple[str, str, bytes]]]]:
    """A server that takes uploads like the Hub; its address, and (path, token, body) asked for."""
    asked: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers.get("Authorization", ""), body))
            answer: dict[str, Any] = {}
            if self.path == "/api/repos/create":
                answer = {"url": f"{address}/datasets/me/boats"}
            elif self.path == "/api/datasets/me/boats/preupload/main":
                files = json.loads(body)["files"]
                mode = {"uploadMode": "regular", "shouldIgnore": False}
                answer = {"files": [{"path": file["path"], **mode} for file in files]}
            elif self.path == "/api/datasets/me/boats/commit/main":
                commit = f"{address}/datasets/me/boats/commit/{'0' * 40}"
                answer = {"commitUrl": commit, "commitOid": "0" * 40}
            self.answer(answer)

        def do_GET(self) -> None:
            self.answer({})

        def answer(self, content: dict[str, Any]) -> None:
            text = json.dumps(content).encode()
            self.send_response(401 if refuses else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True).start()
    yield address, asked
    server.shutdown()
    server.server_close()
