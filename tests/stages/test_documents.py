"""What the documents name is there."""

import re

import pytest
from fixtures.repository import ROOT

# What ships; what stages write is there after a run alone.
SOURCES = r"\.ci benchmarks docs examples experiments models/base results src stages tests".split()


@pytest.mark.parametrize(
    ("document", "folders"),
    [
        ("README.md", SOURCES),
        ("docs/log/2026-11.md", ["results"]),  # it also tells of code that is gone
        *((f"docs/{path.name}", SOURCES) for path in sorted((ROOT / "docs").glob("*.md"))),
        ("examples/parcels/README.md", SOURCES),
        ("benchmarks/README.md", SOURCES),
    ],
)
def test_every_file_that_a_document_names_exists(document: str, folders: list[str]) -> None:
    path = ROOT / document
    text = path.read_text(encoding="utf-8").replace("results/NAME/", "")  # of any name
    if "log" in path.parts:  # entries name the files that a result had then
        text = re.sub(r"(results/[\w-]+)/[\w.]+", r"\1", text)
    links = re.findall(r"\]\(([^)#\s]+)", text)
    found = {path.parent / link for link in links if "://" not in link}
    named = rf"(?<![\w./-])(?:{'|'.join(folders)})/[\w./-]*"
    found |= {ROOT / name.rstrip(".") for name in re.findall(named, text)}
    assert found or document.startswith("docs/")
    assert not [str(one) for one in found if not one.exists()]
