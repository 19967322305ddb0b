"""A real HTTP server that answers like an OpenAI-compatible endpoint, or as badly as told to."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROMPT_TOKENS, COMPLETION_TOKENS = 7, 3

Action = Callable[["Handler"], None]


def answer(
    content: str | None = None,
    completion_tokens: int = COMPLETION_TOKENS,
    usage: bool = True,
    finish_reason: str = "stop",
    **message: Any,
) -> Action:
    """A completion; without content it says which question it is for."""

    def act(handler: "Handler") -> None:
        text = f"to {handler.question}" if content is None else content
        body: dict[str, Any] = {
            "choices": [
                {
                    "message": {"content": text, **message},
                    "finish_reason": finish_reason,
                    "index": 0,
                }
            ]
        }
        if usage:
            body["usage"] = {
                "prompt_tokens": PROMPT_TOKENS,
                "completion_tokens": completion_tokens,
                "total_tokens": PROMPT_TOKENS + completion_tokens,
            }
        handler.server.prompt_tokens += PROMPT_TOKENS
        handler.server.completion_tokens += completion_tokens
        handler.send(200, json.dumps(body).encode())

    return act


def status(code: int, message: str = "", **headers: str) -> Action:
    """An error as OpenAI writes it; quick to be asked again, as header names with _ for -."""

    def act(handler: "Handler") -> None:
        known = {"retry-after-ms": "1"} | {
            name.replace("_", "-"): headers[name] for name in headers
        }
        if "retry-after" in known:
            del known["retry-after-ms"]
        body = {"error": {"message": message or f"status {code}", "code": None}}
        handler.send(code, json.dumps(body).encode(), known)

    return act


def busy_until(handler: "Handler") -> None:
    """503, to be asked again at a date about a second from now."""
    status(503, retry_after=formatdate(time.time() + 2, usegmt=True))(handler)


def body(content: bytes, kind: str = "application/json") -> Action:
    """Status 200 and any bytes."""
    return lambda handler: handler.send(200, content, {"content-type": kind})


def cut(handler: "Handler") -> None:
    """Half a body, then the connection closes."""
    handler.send(200, b'{"choices": [', {"content-length": "1000"})
    handler.close_connection = True


def hang(handler: "Handler") -> None:
    """No answer until the test is over."""
    handler.server.released.wait()


def trickle(handler: "Handler") -> None:
    """Blanks for ever, as servers send them to keep a connection open."""
    handler.send(200, b"", {"content-length": "1000000"})
    while not handler.server.released.wait(0.05):
        try:
            handler.wfile.write(b" ")
        except OSError:
            return


class Handler(BaseHTTPRequestHandler):
    """Does what the script says for a question (the last message), then answers."""

    protocol_version = "HTTP/1.1"
    server: "Server"
    asked: dict[str, Any]
    question: str

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        self.asked = sent
        self.question = sent["messages"][-1]["content"]
        with server.lock:
            server.sent.append(sent | {"path": self.path, "key": self.headers["authorization"]})
            server.times.append(time.monotonic())
            server.active += 1
            server.most_active = max(server.most_active, server.active)
            script = server.script[self.question]
            act = script.pop(0) if script else server.default
        try:
            act(self)
        except OSError:
            pass  # the client is gone
        finally:
            with server.lock:
                server.active -= 1

    def send(self, code: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        known = {"content-type": "application/json", "content-length": str(len(content))}
        self.send_response(code)
        for name, value in (known | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""


class Server(ThreadingHTTPServer):
    """What it was sent, in order, and the tokens it counted; `with` serves in a thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.script: defaultdict[str, list[Action]] = defaultdict(list)
        self.default: Action = answer()
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.sent: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.active = self.most_active = self.prompt_tokens = self.completion_tokens = 0

    @property
    def questions(self) -> list[str]:
        return [sent["messages"][-1]["content"] for sent in self.sent]

    def __enter__(self) -> "Server":
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()
