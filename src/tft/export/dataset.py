"""A student's training conversations as a data set that can be used elsewhere.

There is one row per conversation, in the conversational format with tools of TRL and the Hub:

- `id`, `source`: id and source of the conversation.
- `messages`: a system message with the task's description, then the conversation. An assistant
  message has one entry of `tool_calls`, whose arguments are an object. A tool result, which in this
  project is a user message with JSON, gets the role `tool` and the name of the called tool.
- `tools`: the declared tools as OpenAI function schemas.

The `unified` template renders both roles alike, so the rows give exactly the token ids that
students are trained on. Other templates mark the role `tool` in their own way, as servers do.

Both columns are lists of `datasets.Json`, so messages and schemas keep their keys. As structs they
would get None for every key of another row, above all in arguments and schemas, and chat templates
such as Llama 3.1's fail on a message whose `tool_calls` is None. Texts are stored unchanged;
`datasets` may round the 16th digit of a number when reading.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Json, List, Value, disable_progress_bars
from huggingface_hub import DatasetCard, DatasetCardData, HfApi

from tft.core.conversation import Conversation
from tft.core.errors import InputError
from tft.core.tables import atomic_path, write_text
from tft.core.task import Task

FEATURES = Features(
    {
        "id": Value("string"),
        "source": Value("string"),
        "messages": List(Json()),
        "tools": List(Json()),
    }
)

HERE = Path(__file__).parent
CARD, TRAINING_TEMPLATE = "dataset_card.md.jinja", "training_template.jinja"

# The files of an exported folder. `datasets` recognizes the split by the file's name; with
# `configs` in the card it would mistake a changed file for the one in its cache (datasets 5.2,
# load.py).
README, CHAT_TEMPLATE, DATA = "README.md", "chat_template.jinja", "train-00000-of-00001.parquet"
FILES = [README, CHAT_TEMPLATE, f"data/{DATA}"]

LICENSES = {"builtin": "apache-2.0", "sgd": "cc-by-sa-4.0", "published": "cc-by-sa-4.0"}
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}


@dataclass(frozen=True)
class CardValues:
    """What the card says about the origin of the conversations.

    Attributes:
        corpus: builtin, sgd, published, or traces.
        scenario: The scenario, such as noisy_labels.
        kind: The kind of the scenario, such as baseline.
        pipeline: The pipeline, such as direct or tft.
        made_by: For each step of TFT, "rules" or the models that did it.
        repo_id: The data set's id on the Hub, if it is uploaded.
    """

    corpus: str
    scenario: str
    kind: str
    pipeline: str
    made_by: Mapping[str, str]
    repo_id: str | None = None


def export_dataset(
    conversations: Sequence[Conversation], task: Task, card_values: CardValues, folder: Path
) -> None:
    """Write the data set's Parquet file, its card, and the chat template to train with.

    Raises:
        InputError: there are no conversations, `datasets` cannot read a value back, or the folder
            contains other files.
    """
    if not conversations:
        raise InputError("there are no conversations to export")
    if unknown_files := _files_in(folder) - set(FILES):
        raise InputError(
            f"{folder}: contains {min(unknown_files)}; name an empty folder or an earlier export"
        )
    rows = [row_of(conversation, task) for conversation in conversations]
    disable_progress_bars()
    with atomic_path(folder / "data" / DATA) as beside:
        Dataset.from_list(rows, features=FEATURES).to_parquet(beside)
    template = (HERE / TRAINING_TEMPLATE).read_text(encoding="utf-8")
    write_text(folder / CHAT_TEMPLATE, template)
    write_text(folder / README, _card(conversations, task, card_values))


def push(folder: Path, repo_id: str) -> str:
    """Upload an exported folder to the Hub and return the data set's address.

    A new repository is private. The token is that of `hf auth login` or of HF_TOKEN.

    Raises:
        InputError: the Hub, or the server in HF_ENDPOINT, cannot be reached or refuses.
    """
    api = HfApi()
    try:
        url = api.create_repo(repo_id, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=FILES,
            commit_message="Training conversations exported by TFT",
        )
    except (OSError, ValueError) as error:  # the base classes of huggingface_hub's errors
        reason = " ".join(str(error).split())
        raise InputError(
            f"{repo_id}: cannot be uploaded ({reason}); log in with `hf auth login` or set "
            "HF_TOKEN, and name a repository that you may write to"
        ) from error
    return str(url)


def messages_of(conversation: Conversation, task: Task) -> list[dict[str, Any]]:
    """The system message and the conversation, as the module's docstring describes."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": task.description}]
    called = None
    for message in conversation.messages:
        call, content = message.tool_call, message.content or ""
        if call:
            function = {"name": call.name, "arguments": call.arguments}
            calls = [{"type": "function", "function": function}]
            messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        elif called and _is_result(content):
            messages.append({"role": "tool", "name": called, "content": content})
        else:
            messages.append({"role": "user", "content": content})
        called = call.name if call else None
    return messages


def row_of(conversation: Conversation, task: Task) -> dict[str, Any]:
    """A conversation as a row of FEATURES, with JSON as text.

    Raises:
        InputError: `datasets` cannot read a message back; names it.
    """
    messages = [_text(message) for message in messages_of(conversation, task)]
    for message in messages:
        try:
            Json().decode_example(message)
        except ValueError as error:
            raise InputError(
                f"conversation {conversation.id!r}: {message:.120}: `datasets` cannot read it "
                f"back ({error}); a number beyond 64 bits has to be a string"
            ) from error
    tools = [_text(tool) for tool in task.tools_openai()]
    return {
        "id": conversation.id,
        "source": conversation.source,
        "messages": messages,
        "tools": tools,
    }


def _text(value: Any) -> str:
    # Text, because `datasets` would write at most ten digits of a number in an object.
    return json.dumps(value, ensure_ascii=False)


def _is_result(content: str) -> bool:
    try:
        return isinstance(json.loads(content), dict | list)
    except ValueError:
        return False


def _files_in(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in files}


def _card(conversations: Sequence[Conversation], task: Task, values: CardValues) -> str:
    calls = Counter(call.name for conversation in conversations for _, call in conversation.turns())
    number = len(conversations)
    card = DatasetCard.from_template(
        DatasetCardData(
            pretty_name=f"TFT {values.scenario}-{values.pipeline}",
            license=LICENSES.get(values.corpus),
            language=None if values.corpus == "traces" else "en",
            task_categories=["text-generation"],
            tags=["tool-use", "function-calling", "conversational"],
            size_categories=next((SIZES[size] for size in SIZES if number < size), "n>1M"),
        ),
        str(HERE / CARD),
        **asdict(values),
        conversations=number,
        calls=calls,
        tools=task.tools,
        example=json.dumps(messages_of(conversations[0], task)[1:4], indent=2, ensure_ascii=False),
        chat_template=CHAT_TEMPLATE,
    )
    return f"{card.content.rstrip()}\n"
