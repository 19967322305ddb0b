"""What redaction finds and misses of planted personal data, and its false hits.

Reads: examples/parcels, params.yaml, and data/corpus of the corpus that was fetched last
Run:   python benchmarks/redaction.py [--repeats 5]

One value of a kind is planted in every dialogue: in a sentence of the user and, each in half of the
dialogues, in the agent's next message, in a call's arguments, and in a tool's result. It counts as
found if the output does not contain it. Names are drawn from two sources of which redaction has no
lists: the US census (the package `names`), and Faker's locales that params do not list. Numbers and
keys are generated here, by their issuers' patterns.

False hits are counted in the original dialogues, which contain no names: hits per 1,000 words, by
entity, and the number of arguments of service calls that were hit.
"""

import copy
import json
import random
import string
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import names
from faker import Faker
from tabulate import tabulate

from tft.config import load_params
from tft.core.conversation import Conversation, to_openai
from tft.core.tables import read_conversations
from tft.core.task import RESPOND, read_task
from tft.corpus.builtin import read_builtin
from tft.traces.redaction.redact import Clean, cleaner

EXAMPLE = Path("examples/parcels")
FETCHED = Path("data/corpus/conversations.parquet")
ABROAD = ["tr_TR", "fi_FI", "en_KE", "zu_ZA", "id_ID", "cs_CZ", "hu_HU", "sw"]
HEX = "0123456789abcdef"
ALPHANUMERIC = string.ascii_letters + string.digits

Record = dict[str, Any]
SENTENCES = {
    "name": [
        "My name is {}.", "This is {}.", "I'm {}, by the way.", "It's for {}.", "{} will be there.",
        "Put {} down as the contact.", "Ask for {}.", "{}", "I am writing for my neighbour {}.",
        "Regards, {}", "Mr. {} told me to ask you.", "The booking of {}, please.",
    ],
    "mail": ["Write to {}.", "{}", "My mail is {}, thanks.", "Send it to <{}>, please"],
    "phone": ["Call me at {}.", "{}", "My number is {}, thanks.", "Reach me (after 18:00) on {}"],
    "number": ["It's {}.", "{}", "Take {}, please.", "The number is {}, thanks."],
    "key": ["My key is {}, why is it refused?", "{}", "I use {} for that.", 'It says "{}".'],
    "password": ["My password is {}.", "password: {}", "The token {} is refused.", "api_key={}"],
}  # fmt: skip


def full_name(r: random.Random) -> str:
    random.seed(r.random())  # `names` uses the global generator
    return names.get_full_name()


def text(r: random.Random, size: int, of: str = ALPHANUMERIC) -> str:
    return "".join(r.choices(of, k=size))


def mail(r: random.Random) -> str:
    person = full_name(r)
    user = r.choice([
        person.replace(" ", "."), person.split()[0] + text(r, 3, string.digits),
        person[0] + "_" + person.split()[1] + "+shop", person.replace(" ", "-").upper(),
    ])  # fmt: skip
    host = r.choice(["example.com", "mail.example.co.uk", "corp.internal", "x1.example", "post.de"])
    return f"{user.lower() if r.random() < 0.7 else user}@{host}"


def phone(r: random.Random) -> str:
    area = r.choice(["212", "312", "415", "503", "617", "650", "702", "808"])
    local = str(r.randint(2, 9)) + text(r, 6, string.digits)
    a, b, c = area, local[:3], local[3:]
    return r.choice([
        f"{a}-{b}-{c}", f"({a}) {b}-{c}", f"{a}.{b}.{c}", f"{a}{b}{c}", f"+1 {a} {b} {c}",
        f"1-{a}-{b}-{c}", f"{a} {b} {c}",
    ])  # fmt: skip


def phone_abroad(r: random.Random) -> str:
    pattern = r.choice([
        "+44 20 7### ####", "+44 7### ######", "+49 30 ########", "+49 (0)171 #######",
        "+33 1 4# ## ## ##", "+61 4## ### ###", "0044 7### ######", "+91 98### #####",
        "+5511 9####-####",
    ])  # fmt: skip
    return "".join(r.choice(string.digits) if c == "#" else c for c in pattern)


def key(r: random.Random) -> str:
    return r.choice([
        f"sk-proj-{text(r, 74)}T3BlbkFJ{text(r, 74)}", f"sk-ant-api03-{text(r, 93)}AA",
        f"ghp_{text(r, 36)}", f"github_pat_{text(r, 22)}_{text(r, 59)}", f"glpat-{text(r, 20)}",
        "AKIA" + text(r, 16, string.ascii_uppercase + string.digits), f"AIza{text(r, 35)}",
        f"hf_{text(r, 34)}", f"gsk_{text(r, 52)}", f"sk_live_{text(r, 24)}", f"npm_{text(r, 36)}",
        f"xoxb-{text(r, 12, string.digits)}-{text(r, 24)}", f"SG.{text(r, 22)}.{text(r, 43)}",
        f"eyJhbGciOiJIUzI1NiJ9.eyJ{text(r, 30)}.{text(r, 43)}", f"pypi-AgEI{text(r, 80)}",
    ])  # fmt: skip


def bare_key(r: random.Random) -> str:
    return r.choice([text(r, 32, HEX), f"{text(r, 8)}/{text(r, 31)}"])


def password(r: random.Random) -> str:
    return r.choice(
        [text(r, 12), text(r, 16) + "!", full_name(r).split()[0] + text(r, 4, "0123456789")]
    )


def planters() -> dict[str, tuple[str, Callable[[random.Random], str]]]:
    faker, abroad = Faker("en_US"), Faker(ABROAD)

    def seeded(draw: Callable[[], str], of: Faker) -> Callable[[random.Random], str]:
        def drawn(r: random.Random) -> str:
            of.seed_instance(r.random())
            return draw()

        return drawn

    return {
        "name (US census)": ("name", full_name),
        "  without capitals": ("name", lambda r: full_name(r).lower()),
        "  first name alone": ("name", lambda r: full_name(r).split()[0]),
        "name (other countries)": (
            "name", seeded(lambda: f"{abroad.first_name()} {abroad.last_name()}", abroad)),
        "mail": ("mail", mail),
        "phone (US)": ("phone", phone),
        "phone (abroad)": ("phone", phone_abroad),
        "card": ("number", seeded(faker.credit_card_number, faker)),
        "IBAN": ("number", seeded(faker.iban, faker)),
        "SSN": ("number", seeded(faker.ssn, faker)),
        "API key": ("key", key),
        "  without a prefix": ("key", bare_key),
        "password": ("password", password),
    }  # fmt: skip


def planted(record: Record, value: str, sentence: str, r: random.Random) -> Record:
    """The record with the value in a sentence of the user, and perhaps in later messages."""
    messages = copy.deepcopy(record["messages"])
    spoken = [
        n for n, m in enumerate(messages) if m["role"] == "user" and m["content"][:1] not in "[{"
    ]
    at = r.choice(spoken)
    messages[at]["content"] += " " + sentence.format(value)
    sites = {"words", "call", "result"}
    chosen = {site for site in sorted(sites) if r.random() < 0.5}
    for message in messages[at + 1 :]:
        match message:
            case {"tool_calls": [{"function": function}]}:
                site = "words" if function["name"] == RESPOND else "call"
                if site in chosen and site == "words":
                    function["arguments"]["message"] = f"Noted, {value}. " + str(
                        function["arguments"].get("message", "")
                    )
                elif site in chosen:
                    function["arguments"]["contact"] = value
                chosen -= {site}
            case {"role": "user", "content": str(content)} if (
                content[:1] in "[{" and "result" in chosen
            ):
                message["content"] = json.dumps([{"contact": value}, json.loads(content)])
                chosen -= {"result"}
    return {"messages": messages}


def leaks(value: str, record: Record) -> bool:
    return value in json.dumps(record, ensure_ascii=False).replace("\\/", "/")


def calls(record: Record) -> Iterator[tuple[str, str, str]]:
    for message in record["messages"]:
        for call in message.get("tool_calls") or []:
            if call["function"]["name"] != RESPOND:
                for name, value in call["function"]["arguments"].items():
                    yield call["function"]["name"], name, json.dumps(value)


def records(conversations: list[Conversation]) -> list[Record]:
    return [{"messages": to_openai(conversation.messages)} for conversation in conversations]


def example() -> list[Record]:
    lines = (EXAMPLE / "traces.jsonl").read_text(encoding="utf-8").splitlines()
    dialogues = []
    for line in lines:
        if not line.endswith("}"):
            continue
        messages = json.loads(line)["messages"]
        for message in messages:
            for call in message.get("tool_calls") or []:
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
            if message["role"] == "tool":
                message["role"] = "user"
        dialogues.append({"messages": [m for m in messages if m["role"] != "system"]})
    return dialogues


def false_hits(corpus: list[Record], clean: Clean) -> list[Any]:
    words, entities, hit, arguments = 0, Counter[str](), Counter[str](), 0
    start = time.process_time()
    cleaned = [clean(record) for record in corpus]
    seconds = time.process_time() - start
    for record, (value, counts) in zip(corpus, cleaned, strict=True):
        words += len(json.dumps(record["messages"]).split())
        entities += counts
        for before, after in zip(calls(record), calls(value), strict=True):
            arguments += 1
            hit[before[1]] += before != after
    rates = ", ".join(f"{entity} {n / words * 1000:.2f}" for entity, n in entities.most_common())
    slots = ", ".join(f"{name} {n}" for name, n in hit.most_common(4) if n)
    return [len(corpus), words, rates or "none", f"{sum(hit.values())}/{arguments}", slots,
            f"{seconds / len(corpus) * 1000:.1f}"]  # fmt: skip


@click.command(help=__doc__)
@click.option("--repeats", default=5, help="How often each dialogue gets a value of each kind.")
@click.option("--seed", default=1)
def main(repeats: int, seed: int) -> None:
    params = load_params()
    clean = cleaner(params.traces.redact, read_task(EXAMPLE / "job_description.json"))
    corpora = {
        "parcels": example(),
        "simulated": records(list(read_builtin(params.builtin)[0]))[::10],
    }
    rows = []
    for kind, (sort, draw) in planters().items():
        row: list[Any] = [kind]
        for corpus in corpora.values():
            r = random.Random(f"{seed}/{kind}")
            number = missed = 0
            for record in corpus * repeats:
                value = draw(r)
                dialogue = planted(record, value, r.choice(SENTENCES[sort]), r)
                assert leaks(value, dialogue)
                number += 1
                missed += leaks(value, clean(dialogue).value)
            row.append(f"{1 - missed / number:.3f} ({number})")
        rows.append(row)
        print(*row, flush=True)
    print(
        "\n"
        + tabulate(rows, ["found of", *corpora], tablefmt="github", preserve_whitespace=True)
        + "\n"
    )
    if FETCHED.exists():
        corpora[f"data/corpus ({params.corpus})"] = records(read_conversations(FETCHED))
    head = ["dialogues as they are", "n", "words", "replaced per 1,000 words", "arguments hit",
            "most often", "ms per trace"]  # fmt: skip
    print(
        tabulate(
            [[name, *false_hits(c, clean)] for name, c in corpora.items()], head, tablefmt="github"
        )
    )


if __name__ == "__main__":
    main()
