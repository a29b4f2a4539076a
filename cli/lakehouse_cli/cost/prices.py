"""The price file: prices with their sources, what idle work is assumed to take, how each type is priced."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

PRICE_FILE = Path(__file__).with_name("prices.yaml")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Price(_Strict):
    """A price in US dollars for ``per`` units of something."""

    item: str
    """What the bill is for, as the table names it."""
    unit: str
    usd: float = Field(ge=0)
    per: float = Field(default=1, gt=0)
    source: str
    """The address of the page the price was read on."""
    dated: str = Field(pattern=r"^20\d\d-\d\d$")
    """The month of that page."""
    always_free: float = Field(default=0, ge=0)
    """Units that an account has free every month, beyond its first year too."""

    def cost_usd(self, quantity: float) -> float:
        """What a quantity costs a month at the list price."""
        return quantity * self.usd / self.per


class Amount(_Strict):
    """How much of something a call takes: a fixed part, a part for each writer, a part for each file."""

    call: float = 0
    writer: float = 0
    file: float = 0


class Work(_Strict):
    """What one call of a scheduled function is assumed to take when there is nothing to do."""

    seconds: Amount
    reads: Amount = Amount()
    writes: Amount = Amount()
    lists: Amount = Amount()
    gets: Amount = Amount()
    key_requests: Amount = Amount()
    log_bytes: Amount = Amount()
    metrics: Amount = Amount()
    """Metrics it writes for as long as its schedule calls it, each paid by the month."""


class Assumptions(_Strict):
    """What the templates cannot say. Every number here is an estimate, not a measurement on AWS."""

    datasets: int = Field(gt=0)
    files: int = Field(ge=0)
    queue_pollers: int = Field(gt=0)
    poll_seconds: int = Field(gt=0)
    functions: dict[str, Work]
    table_bytes: dict[str, Amount]
    flow_log_gigabytes: float = Field(ge=0)
    trail_files_per_hour: float = Field(ge=0)
    crawler_dpus: float = Field(gt=0)
    crawler_minutes: float = Field(gt=0)
    job_minutes: float = Field(gt=0)

    @property
    def writers(self) -> int:
        """One for each dataset, and refresh."""
        return self.datasets + 1

    def total(self, amount: Amount) -> float:
        """An amount for the assumed lake."""
        return amount.call + amount.writer * self.writers + amount.file * self.files


class TypePrice(_Strict):
    """How a resource type is priced: by a rule, or not at all while idle, with the reason."""

    rule: str = ""
    free: str = ""

    @model_validator(mode="after")
    def _one_of_both(self) -> TypePrice:
        if bool(self.rule) == bool(self.free):
            raise ValueError("a type has either a rule or the reason why it is free")
        return self


class PriceFile(_Strict):
    """Everything in prices.yaml."""

    region: str
    currency: str
    collected: date
    hours_per_month: float = Field(gt=0)
    left_out: list[str]
    assumptions: Assumptions
    prices: dict[str, Price]
    types: dict[str, TypePrice]


def read_prices(path: Path = PRICE_FILE) -> PriceFile:
    """The price file of this checkout. A mistake in it is a defect and raises pydantic's own error."""
    return PriceFile.model_validate(yaml.safe_load(path.read_text()))
