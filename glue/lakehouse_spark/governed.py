"""What a run does for governance: tags on the tables it makes, and where a Gold table lies.

The plan that a run works with was pinned when it claimed, and a deployment may have closed a column since:
once another deployment has retired the run's assets, it opens nothing. Before that it opens columns without a
tag of their own. Only a Gold table whose rows are the plan's may be opened further: a contract is about the
rows that are there, so a deployment opens Silver's columns; a model is about the rows it is going to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse import words
from lakehouse.governing import OFF, Governor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.words import GovernancePlan
    from lakehouse_spark.objects import Objects


@dataclass(frozen=True)
class Governing:
    """Who governs: a boto3 client of Lake Formation, and what the ARNs of the lake's roles begin with."""

    client: Any = None
    roles: str = OFF


@dataclass(frozen=True)
class Governed:
    """The governance of one run."""

    plan: GovernancePlan | None
    governor: Governor | None = None

    def tag(self, layer: str, database: str, table: str, columns: Iterable[str]) -> None:
        """Open the columns of a table that its contract or model opens. Nothing where IAM alone decides.

        A Gold table is tagged once its rows are the model's, and not before.
        """
        if self.governor is not None:
            self.governor.govern(layer, database, table, columns, loosen=layer == "gold")

    def close(self, layer: str, database: str, table: str, columns: Iterable[str]) -> None:
        """Close the columns that its contract or model closes, before rows come that are to be closed."""
        if self.governor is not None:
            self.governor.close(layer, database, table, columns)

    def folder(self, model: str) -> str:
        """Under which prefix of the bucket a Gold table belongs; closed, as long as nothing says
        otherwise.
        """
        access = self.plan["tables"].get(f"gold.{model}") if self.plan else None
        return words.OPEN_FOLDER if access is not None and not access["closed"] else words.CLOSED_FOLDER


NOT_GOVERNED = Governed(None)


def governed(operations: Objects, assets_prefix: str, governing: Governing) -> Governed:
    """The governance that the assets of a run say. Assets of before there was one close everything."""
    key = assets_prefix + words.GOVERNANCE_FILE
    plan: GovernancePlan | None = operations.get_json(key) if operations.head(key) else None
    if plan is None or governing.roles == OFF:
        return Governed(plan)
    retired = assets_prefix + words.RETIRED_FILE
    governor = Governor(
        governing.client, governing.roles, plan, is_newest=lambda: not operations.head(retired)
    )
    return Governed(plan, governor)
