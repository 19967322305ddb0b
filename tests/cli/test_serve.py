"""`python -m tft serve` and `chat`: a student by its name, its functions called and shown."""

import importlib.util
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fixtures.boats import TASK
from fixtures.llm_server import Action, Server, answer, status

from tft.cli import main
from tft.cli.chat import simulated
from tft.cli.serve import server_command
from tft.core.conversation import Tool
from tft.core.task import RESPOND, Task, write_task
from tft.export.plain_text import PARSER
from tft.student.template import load_tokenizer


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one packaged student, as the working directory."""
    (tmp_path / "models/students/noisy_labels-tft/merged").mkdir(parents=True)
    write_task(tmp_path / "models/students/noisy_labels-tft/job_description.json", TASK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def call(name: str, **arguments: Any) -> Action:
    return calls((name, json.dumps(arguments)))


def calls(*functions: tuple[str, str], text: str = "") -> Action:
    """A reply with these (name, arguments), whatever they are."""
    return answer(
        text,
        tool_calls=[
            {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
            for name, arguments in functions
        ],
    )


def run(*arguments: str, typed: str = "") -> Any:
    return CliRunner().invoke(main, arguments, input=typed)


def test_an_error_about_an_unknown_student_lists_the_known_ones(root: Path) -> None:
    result = run("serve", "nobody-direct")
    assert result.exit_code == 1
    assert "no student 'nobody-direct'; there are noisy_labels-tft" in result.output


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
@pytest.mark.parametrize("name", ["noisy_labels-tft", "tft-noisy_labels"])
def test_an_error_names_the_port_in_use(root: Path, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("serve", name, "--port", str(port))
    assert result.exit_code == 1
    assert f"port {port} of 127.0.0.1 cannot be used" in result.output
    assert "--port" in result.output


def test_the_served_model_has_the_students_name(root: Path) -> None:
    command = server_command(Path("models/students/noisy_labels-tft"), "0.0.0.0", 8123)
    assert command[command.index("--served-model-name") + 1] == "noisy_labels-tft"
    assert command[command.index("--port") + 1] == "8123"


def test_a_student_that_answers_in_plain_text_is_served_with_its_parser(root: Path) -> None:
    folder = Path("models/students/noisy_labels-tft")
    command = server_command(folder, "0.0.0.0", 8123)
    assert command[command.index("--tool-call-parser") + 1] == "hermes"
    (folder / PARSER).touch()
    command = server_command(folder, "0.0.0.0", 8123)
    assert command[command.index("--tool-call-parser") + 1] == "plain_text"
    assert command[command.index("--tool-parser-plugin") + 1] == str(folder / PARSER)


def test_functions_from_a_file_are_called_and_their_results_sent_to_the_student(
    root: Path, server: Server
) -> None:
    (root / "boats.py").write_text(
        "def RentBoat(pier):\n    return [{'boat': 'Heron', 'at': pier}]"
    )
    result_text = json.dumps([{"boat": "Heron", "at": "A"}])
    server.script["A boat, please."] = [call("RentBoat", pier="A")]
    server.script[result_text] = [call(RESPOND, message="The Heron is yours.")]
    result = run(
        "chat", "noisy_labels-tft", "--url", server.url, "--functions", "boats.py",
        typed="A boat, please.\n",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "RentBoat" in result.output
    assert result_text in result.output
    assert "agent> The Heron is yours." in result.output
    assert [sent["messages"][0]["content"] for sent in server.sent] == [TASK.description] * 2
    assert server.sent[0]["model"] == "noisy_labels-tft"
    assert [tool["function"]["name"] for tool in server.sent[0]["tools"]] == [RESPOND, "RentBoat"]


def test_a_student_that_keeps_calling_is_interrupted(root: Path, server: Server) -> None:
    server.default = call("RentBoat", pier="B")
    result = run("chat", "noisy_labels-tft", "--url", server.url, typed="Hello.\n")
    assert result.exit_code == 0, result.output
    assert "8 calls in a row" in result.output
    assert len(server.sent) == 8


def test_a_reply_without_a_call_is_shown_as_text(root: Path, server: Server) -> None:
    server.script["One."] = [answer("Just words.")]
    server.script["Two."] = [answer("More words.")]
    result = run("chat", "noisy_labels-tft", "--url", server.url, typed="One.\n\nTwo.\n")
    assert result.exit_code == 0, result.output
    assert "agent> (no call) Just words." in result.output
    assert server.sent[1]["messages"][2]["content"] == "Just words."


@pytest.mark.parametrize(
    ("reply", "flaw"),
    [
        (call("SinkBoat"), "undeclared tool: SinkBoat"),
        (call("RentBoat", pier="A", oars=2), "against the schema: RentBoat: Additional properties"),
        (call("RentBoat"), "against the schema: RentBoat: 'pier' is a required property"),
        (call("RentBoat", pier=3), "against the schema: RentBoat: 3 is not of type 'string'"),
        (calls(("RentBoat", '["A"]')), "arguments of 'RentBoat' must be a JSON object"),
        (calls(("RentBoat", '{"pier": ')), "arguments of 'RentBoat' are not JSON"),
        (calls(*[("RentBoat", '{"pier": "A"}')] * 2), "more than one call"),
        (calls(("RentBoat", '{"pier": "A"}'), text="Hm."), "text beside it: 'Hm.'"),
        (call(RESPOND, text="Hm."), f"against the schema: {RESPOND}: Additional properties"),
    ],
)
def test_an_invalid_call_is_shown_and_the_chat_goes_on(
    root: Path, server: Server, reply: Action, flaw: str
) -> None:
    rent = TASK.tools[1]
    strict = replace(rent, parameters=rent.parameters | {"required": ["pier"]})
    task = replace(TASK, tools=(TASK.tools[0], strict))
    write_task(root / "models/students/noisy_labels-tft/job_description.json", task)
    (root / "boats.py").write_text("def RentBoat(pier):\n    raise AssertionError('called')")
    server.script["One."] = [reply]
    server.script["Two."] = [call(RESPOND, message="Fine.")]
    result = run(
        "chat", "noisy_labels-tft", "--url", server.url, "--functions", "boats.py",
        typed="One.\nTwo.\n",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "agent> (not called: " in result.output
    assert flaw in result.output
    assert "agent> Fine." in result.output
    assert [one["role"] for one in server.sent[1]["messages"]] == ["system", "user", "user"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise KeyError('no such pier')", "KeyError: 'no such pier'"),
        ("return {1, 2}", "TypeError: Object of type set is not JSON serializable"),
        ("return float('nan')", "ValueError: Out of range float values are not JSON compliant"),
    ],
)
def test_the_error_of_a_function_is_shown_and_sent_to_the_student(
    root: Path, server: Server, body: str, error: str
) -> None:
    (root / "boats.py").write_text(f"def RentBoat(pier):\n    {body}")
    server.script["A boat, please."] = [call("RentBoat", pier="A")]
    server.default = call(RESPOND, message="Sorry.")
    result = run(
        "chat", "noisy_labels-tft", "--url", server.url, "--functions", "boats.py",
        typed="A boat, please.\n",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert error in result.output
    assert "agent> Sorry." in result.output
    sent = server.sent[1]["messages"][-1]
    assert sent["role"] == "user"
    assert json.loads(sent["content"])["error"].startswith(error)


def test_plain_text_is_an_answer_when_no_tool_talks_to_the_user(root: Path, server: Server) -> None:
    own = replace(TASK, tools=TASK.tools[1:])
    write_task(root / "models/students/noisy_labels-tft/job_description.json", own)
    server.script["One."] = [answer("Just words.")]
    server.script["Two."] = [answer("More words.")]
    result = run("chat", "noisy_labels-tft", "--url", server.url, typed="One.\nTwo.\n")
    assert "agent> Just words." in result.output
    assert [tool["function"]["name"] for tool in server.sent[1]["tools"]] == ["RentBoat"]
    assert server.sent[1]["messages"][2]["content"] == "Just words."


def test_connection_errors_and_refusals_are_one_line(root: Path, server: Server) -> None:
    gone = Server()
    gone.server_close()
    result = run("chat", "noisy_labels-tft", "--url", gone.url, typed="Hello.\n")
    assert result.exit_code == 1
    assert f"no answer from {gone.url}" in result.output
    server.default = status(400, "too long")
    result = run("chat", "noisy_labels-tft", "--url", server.url, typed="Hello.\n")
    assert result.exit_code == 1
    assert "too long" in result.output


def test_a_file_without_a_tools_function_is_refused(root: Path) -> None:
    (root / "boats.py").write_text("RentBoat = 3\n")
    result = run("chat", "noisy_labels-tft", "--functions", "boats.py")
    assert result.exit_code == 1
    assert "boats.py: no function RentBoat" in result.output


def test_simulated_searches_find_what_simulated_bookings_need() -> None:
    def tool(name: str, **properties: Any) -> Tool:
        return Tool(name, name, {"type": "object", "properties": properties})

    task = Task(
        "You book rooms.",
        (
            tool("FindRoom", town={"type": "string"}, stars={"type": "string", "enum": ["1", "2"]}),
            tool("BookRoom", room_name={"type": "string"}, town={"type": "string"}),
        ),
        "good or bad",
    )
    functions = simulated(task)
    found = functions["FindRoom"](town="Gate")
    assert len({room["room_name"] for room in found}) == len(found) > 1
    assert all(room["town"] == "Gate" and room["stars"] in "12" for room in found)
    (booked,) = functions["BookRoom"](**{key: found[0][key] for key in ("room_name", "town")})
    assert found[0].items() >= {key: booked[key] for key in ("room_name", "town")}.items()


def test_a_result_sent_as_a_tool_message_is_rendered_as_trained(
    tokenizer: Any,
    tmp_path: Path,
) -> None:
    tokenizer.save_pretrained(tmp_path)
    unified = load_tokenizer(str(tmp_path), "unified")
    texts = [
        unified.apply_chat_template(
            [{"role": "user", "content": "Hi."}, {"role": role, "content": "[]"}], tokenize=False
        )
        for role in ("user", "tool")
    ]
    assert texts[0] == texts[1]
