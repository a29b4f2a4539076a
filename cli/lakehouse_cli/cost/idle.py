"""The idle bill of an environment: every resource priced, the charges summed by what they are for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse_cli.cost.prices import PriceFile, read_prices
from lakehouse_cli.cost.rules import RULES, Charge, Idle
from lakehouse_cli.errors import TemplateError
from lakehouse_cli.templates import Place, Resource, read_environment, read_template


@dataclass(frozen=True)
class Line:
    """One item of the bill."""

    price: str
    item: str
    quantity: float
    unit: str
    usd_per_month: float
    covered_usd_per_month: float
    """What of it the account's monthly free allowance covers, if nothing else uses that up."""
    resources: list[str]
    source: str
    dated: str


@dataclass(frozen=True)
class Bill:
    """The idle bill. Dollars are list prices, free allowances not taken off."""

    environment: str
    lines: list[Line]
    free: list[tuple[str, int, str]]
    """Resource types that cost nothing while idle: type, how many there are, why."""
    prices: PriceFile

    @property
    def total_usd_per_month(self) -> float:
        """The sum at list prices."""
        return sum(line.usd_per_month for line in self.lines)

    @property
    def covered_usd_per_month(self) -> float:
        """What free allowances would take off in an account that has nothing else."""
        return sum(line.covered_usd_per_month for line in self.lines)


def idle_bill(root: Path, environment: str) -> Bill:
    """The idle bill of an environment of a project folder, as `make deploy` deploys it.

    Raises ``TemplateError`` for what has no price.
    """
    prices = read_prices()
    place = Place(region=prices.region)
    deployed = read_environment(root, environment).governed_by(f"arn:aws:iam::{place.account}:role/deployer")
    template = read_template(root, deployed, place)
    return bill_of(environment, list(template.resources()), prices)


def bill_of(environment: str, resources: list[Resource], prices: PriceFile) -> Bill:
    """The bill of resources."""
    if missing := sorted({r.type for r in resources} - set(prices.types)):
        raise TemplateError(
            f"No price entry for {', '.join(missing)}: add a rule, or the reason why it is free, "
            f"to cli/lakehouse_cli/cost/prices.yaml."
        )
    charges = list(_charges(resources, prices))
    return Bill(environment, _lines(charges, prices), _free(resources, prices), prices)


def _charges(resources: list[Resource], prices: PriceFile) -> Iterator[Charge]:
    idle = Idle(prices, resources)
    for resource in resources:
        priced = prices.types[resource.type]
        if priced.rule:
            yield from RULES[priced.rule](resource, idle)


def _lines(charges: Iterable[Charge], prices: PriceFile) -> list[Line]:
    by_price: dict[str, list[Charge]] = defaultdict(list)
    for charge in charges:
        by_price[charge.price].append(charge)
    # In the order of the price file, which is also the order of the items for a reader.
    return [_line(name, by_price[name], prices) for name in prices.prices if name in by_price]


def _line(name: str, charges: list[Charge], prices: PriceFile) -> Line:
    price = prices.prices[name]
    quantity = sum(charge.quantity for charge in charges)
    return Line(
        price=name,
        item=price.item,
        quantity=quantity,
        unit=price.unit,
        usd_per_month=price.cost_usd(quantity),
        covered_usd_per_month=price.cost_usd(min(quantity, price.always_free)),
        resources=sorted({charge.resource for charge in charges}),
        source=price.source,
        dated=price.dated,
    )


def _free(resources: list[Resource], prices: PriceFile) -> list[tuple[str, int, str]]:
    counts = Counter(resource.type for resource in resources)
    listed = ((name, counts[name], prices.types[name].free) for name in sorted(counts))
    return [(name, count, why) for name, count, why in listed if why]


def as_document(bill: Bill) -> dict[str, Any]:
    """The bill as ``cost --json`` prints it. Dollars are rounded to a hundredth of a cent."""
    prices = bill.prices
    return {
        "environment": bill.environment,
        "region": prices.region,
        "prices_collected": prices.collected.isoformat(),
        "total_usd_per_month": round(bill.total_usd_per_month, 4),
        "covered_by_free_allowances_usd_per_month": round(bill.covered_usd_per_month, 4),
        "items": [
            {
                "item": line.item,
                "price": line.price,
                "quantity": round(line.quantity, 6),
                "unit": line.unit,
                "usd": prices.prices[line.price].usd,
                "per": prices.prices[line.price].per,
                "usd_per_month": round(line.usd_per_month, 4),
                "resources": line.resources,
                "source": line.source,
                "dated": line.dated,
            }
            for line in bill.lines
        ],
        "free": [{"type": name, "resources": count, "why": why} for name, count, why in bill.free],
        "assumptions": prices.assumptions.model_dump(),
        "left_out": prices.left_out,
    }
