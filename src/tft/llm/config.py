"""Params of the language models that roles may use."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from tft.core.config import Amount, Count, Section

# No user, password, or query, because addresses are shown in errors.
ADDRESS = r"^https?://(\[[0-9a-fA-F:]+\]|[^\s@?#/:]+)(:\d{1,5})?(/[^\s@?#]*)?$"


class Price(Section):
    """The price of a million tokens."""

    input: Amount
    output: Amount


class ModelConfig(Section):
    """A language model, and the endpoint or process that runs it."""

    backend: Literal["openai", "vllm"]
    model: Annotated[str, Field(min_length=1)]
    base_url: Annotated[str, Field(pattern=ADDRESS)] | None = None
    key_variable: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    requests_at_once: Count
    requests_per_minute: Annotated[float, Field(gt=0)] | None = None
    price: Price | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("price")
    @classmethod
    def _nobody_bills_for_this_process(
        cls, price: Price | None, info: ValidationInfo
    ) -> Price | None:
        if price is not None and info.data.get("backend") == "vllm":
            raise ValueError("a model in this process (backend: vllm) costs nobody; set it to null")
        return price


class LlmConfig(Section):
    """The language models that roles may use, and the limits on attempts, time, and cost."""

    models: dict[str, ModelConfig]
    attempts: Count
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    budget: Amount | None
