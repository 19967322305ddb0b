"""The tiny base's model card; its text is in base_card.md.jinja."""

from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData
from transformers import AutoConfig

from experiments.pretrain.config import PretrainConfig
from tft.core.tables import write_text
from tft.export.card import SGD_LICENSE

TEMPLATE = Path(__file__).with_name("base_card.md.jinja")


def write_base_card(
    folder: Path,
    params: PretrainConfig,
    commit: str,
    dialogues: Mapping[str, int],
    loss: float,
) -> None:
    """Write the tiny base's README.md.

    Args:
        folder: The folder of the base, with its config.json.
        params: The params of the training.
        commit: The commit of SGD.
        dialogues: The number of training dialogues, by service.
        loss: The final training loss, in nats per token.
    """
    card = ModelCard.from_template(
        ModelCardData(
            license=SGD_LICENSE, library_name="transformers", pipeline_tag="text-generation"
        ),
        str(TEMPLATE),
        config=AutoConfig.from_pretrained(folder),
        settings=params,
        commit=commit,
        dialogues=dialogues,
        loss=loss,
    )
    write_text(folder / "README.md", f"{card.content.rstrip()}\n")
