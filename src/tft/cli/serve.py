"""A packaged student behind vLLM's own OpenAI server."""

import importlib.util
import os
import socket
import sys
from pathlib import Path

from tft.core.errors import InputError
from tft.export.plain_text import PARSER
from tft.export.server import ENVIRONMENT, server_arguments


def student_folder(name: str, students: Path) -> Path:
    """The folder of a packaged student, named SCENARIO-PIPELINE or PIPELINE-SCENARIO.

    Raises:
        InputError: there is no such student; names those that exist.
    """
    packaged = sorted(path.parent.name for path in students.glob("*/merged"))
    for cell in packaged:
        scenario, pipeline = cell.rsplit("-", 1)
        if name in (cell, f"{pipeline}-{scenario}"):
            return students / cell
    there_are = ", ".join(packaged) or f"none; `dvc repro export` fills {students}"
    raise InputError(f"no student {name!r}; there are {there_are}")


def server_command(folder: Path, host: str, port: int) -> list[str]:
    """The command that serves a packaged student under the name of its folder."""
    arguments = server_arguments(folder.name, folder, (folder / PARSER).exists())
    return [sys.executable, *arguments, "--host", host, "--port", str(port)]


def serve(folder: Path, host: str, port: int) -> None:
    """Replace this process by the server of a packaged student, which Ctrl-C ends.

    Raises:
        InputError: vLLM is not installed, or the port cannot be used.
    """
    if importlib.util.find_spec("vllm") is None:
        raise InputError("vLLM is not installed; `make setup` installs it (Linux only)")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"port {port} of {host} cannot be used ({error.strerror}); choose another: --port, "
                "or PORT= of make"
            ) from error
    command = server_command(folder, host, port)
    environment = ENVIRONMENT | os.environ
    os.execve(command[0], command, environment)  # noqa: S606 (no shell; signals reach the server itself)
