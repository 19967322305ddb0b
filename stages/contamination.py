"""Compare what one pipeline's students are trained on with the test conversations.

Reads data/PIPELINE/SCENARIO/train.parquet of every scenario and data/split/test.parquet. Writes
metrics/contamination/PIPELINE.json; fails where a training conversation is a near copy of a test
conversation. Nothing that trains, labels or generates reads any of this.

    python stages/contamination.py direct
"""

from pathlib import Path

import click

from tft.curation.validate import text_of
from tft.errors import InputError
from tft.evaluation.contamination import closest, overlap, without_calls
from tft.params import load_params
from tft.tables import read_conversations, write_json
from tft.timing import timed


@click.command(help=__doc__)
@click.argument("pipeline")
def main(pipeline: str) -> None:
    """See the module's docstring."""
    params = load_params()
    limits = params.contamination
    tests = read_conversations(Path("data/split/test.parquet"))
    summary = {}
    for scenario in params.scenarios:
        path = Path("data") / pipeline / scenario / "train.parquet"
        training = read_conversations(path)
        pairs = {}
        for name, text, key, limit in (
            ("closest", text_of, "max_similarity", limits.max_similarity),
            ("closest_without_calls", without_calls, "max_similarity_without_calls",
             limits.max_similarity_without_calls),
        ):  # fmt: skip
            pair = closest(
                {one.id: text(one) for one in training}, {one.id: text(one) for one in tests}
            )
            if pair.similarity > limit:
                raise InputError(
                    f"{path}: conversation {pair.training!r} is {pair.similarity:.3f} like the "
                    f"test conversation {pair.test!r}, limit {limit}: a student trained on it "
                    "knows the answers. Take it out of the traces, or, if the two only look "
                    f"alike, raise contamination.{key}"
                )
            pairs[name] = pair._asdict()
        summary[scenario] = {"conversations": len(training), **pairs, **overlap(training, tests)}
        print(f"{scenario}: {len(training)} conversations, no near copy of a test conversation")
    write_json(Path("metrics/contamination") / f"{pipeline}.json", summary)


if __name__ == "__main__":
    timed(main)
