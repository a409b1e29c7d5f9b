"""What requests cost: the worst case before they are sent, the real usage after."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from specsci.core.errors import UserError
from specsci.core.yaml_file import read_yaml
from specsci.generate.request import ModelRequest, Usage
from specsci.generate.settings import GeneratorSettings, Price

MILLION = 1e6
FREE = Price(input=0, output=0)
BYTES_PER_TOKEN = 3.0
"""A prompt is taken to have at most one token for so many bytes of UTF-8: English has one for 4 to 5."""
MESSAGE_TOKENS = 16
"""What a chat format adds to a message, at most."""
HOUR_CACHE_FACTOR = 1.6
"""A prompt cache of an hour costs 2 times the input price to write, one of five minutes 1.25 times."""
_DATED = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")


@dataclass(frozen=True)
class Known:
    """A price and where it comes from: `the study`, or the date of the shipped price file."""

    price: Price
    source: str


@cache
def _listed() -> tuple[str, dict[str, Price]]:
    data: dict[str, Any] = read_yaml(Path(__file__).with_name("prices.yaml")).data
    return data["as_of"], {name: Price(**price) for name, price in data["models"].items()}


def price_of(settings: GeneratorSettings) -> Known | None:
    """What a generator's model costs; None where nobody says.

    A vendor's price holds for the vendor's own server alone; this machine costs nothing but its hours.
    """
    if settings.price is not None:
        return Known(settings.price, "the study")
    if settings.is_here:
        return Known(FREE, "this machine")
    as_of, models = _listed()
    found = models.get(settings.model) or models.get(_DATED.sub("", settings.model))
    return Known(found, f"price file of {as_of}") if found and not settings.address else None


def needed_price(name: str, settings: GeneratorSettings) -> Known:
    """As `price_of`; raises UserError where no price is known, or where it needs a cap and has none."""
    known = price_of(settings)
    if known is None:
        hint = f"write generators.{name}.price: {{input: USD, output: USD}} for a million tokens, as the provider's page says"
        raise UserError(f"what '{settings.model}' costs is not known, so that no cap could hold", hint=hint)
    if settings.max_usd is None and (known.price.input or known.price.output):
        raise UserError(f"the generator '{name}' costs money and has no cap", hint=f"write generators.{name}.max_usd: USD")
    return known


def cost_usd(price: Price, usage: Usage, settings: GeneratorSettings) -> float:
    """What a request cost, by its usage and route."""
    read = price.input if price.cache_read is None else price.cache_read
    whole = usage.input_tokens + usage.cache_write_tokens + usage.cache_read_tokens
    tokens = (
        usage.input_tokens * price.input
        + usage.cache_write_tokens * _write_price(price, settings)
        + usage.cache_read_tokens * read
        + usage.output_tokens * price.output
    )
    return tokens / MILLION * _factor(price, settings, whole)


def worst_usd(price: Price, request: ModelRequest, settings: GeneratorSettings) -> float:
    """The most that a request can cost: its counted input, never read from a cache, and the longest reply."""
    tokens = most_input_tokens(request)
    of_input = max(price.input, _write_price(price, settings)) if settings.prompt_cache != "off" else price.input
    usd = (tokens * of_input + request.max_tokens * price.output) / MILLION
    return usd * _factor(price, settings, tokens)


def most_input_tokens(request: ModelRequest) -> int:
    """An upper bound of a prompt's tokens, without its tokenizer."""
    return sum(math.ceil(len(m.content.encode()) / BYTES_PER_TOKEN) + MESSAGE_TOKENS for m in request.messages)


def _write_price(price: Price, settings: GeneratorSettings) -> float:
    write = price.input if price.cache_write is None else price.cache_write
    return write * (HOUR_CACHE_FACTOR if settings.prompt_cache == "1h" else 1.0)


def _factor(price: Price, settings: GeneratorSettings, input_tokens: int) -> float:
    factor = price.batch_factor if settings.mode == "batch" else 1.0
    factor *= price.us_factor if settings.residency == "us" else 1.0
    is_long = price.long_from_tokens is not None and input_tokens > price.long_from_tokens
    return factor * (price.long_factor if is_long else 1.0)
