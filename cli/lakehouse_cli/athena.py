"""Queries through Athena's API, against AWS and the twin alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from lakehouse_cli import output
from lakehouse_cli.connection import Lake
from lakehouse_cli.errors import CommandError, TimedOutError

FINISHED = {"SUCCEEDED", "FAILED", "CANCELLED"}
FIRST_POLL_SECONDS = 0.1
LONGEST_POLL_SECONDS = 1.0

Value = str | int | float | bool | Decimal | None


@dataclass(frozen=True)
class Result:
    """What a query returned. ``rows`` hold Python values in the order of ``columns``."""

    query_id: str
    columns: list[str]
    types: list[str]
    rows: list[list[Value]]
    truncated: bool
    seconds: float
    scanned_bytes: int
    reused: bool = False
    """Whether it is an earlier query's answer."""

    def as_json(self) -> dict[str, object]:
        """The shape of ``query --json``."""
        return {
            "query_id": self.query_id,
            "columns": [{"name": n, "type": t} for n, t in zip(self.columns, self.types, strict=True)],
            "rows": self.rows,
            "truncated": self.truncated,
            "seconds": round(self.seconds, 3),
            "scanned_bytes": self.scanned_bytes,
            "reused": self.reused,
        }

    def summary(self) -> str:
        """One line for a person."""
        shown = f"{len(self.rows):,} row{'' if len(self.rows) == 1 else 's'}"
        more = " (there are more: --max-rows)" if self.truncated else ""
        read = "an earlier answer, reused" if self.reused else f"{output.size(self.scanned_bytes)} read"
        return f"{shown}{more}, {read}, {output.duration(self.seconds)}"


@dataclass(frozen=True)
class Asking:
    """How a statement is asked. ``workgroup`` and ``database`` are the lake's and the layer's if empty."""

    layer: str = "gold"
    workgroup: str = ""
    database: str = ""
    reuse_minutes: int = 0
    """An earlier answer that is no older than this will do; 0: none will."""
    max_rows: int = 1000
    timeout_seconds: float = 300


def run(
    lake: Lake, sql: str, *, layer: str = "gold", max_rows: int = 1000, timeout_seconds: float = 300
) -> Result:
    """Run one statement in the lake's workgroup. Raises ``CommandError`` with Athena's reason."""
    return ask(lake, sql, Asking(layer=layer, max_rows=max_rows, timeout_seconds=timeout_seconds))


def ask(lake: Lake, sql: str, how: Asking) -> Result:
    """Run one statement. Raises ``CommandError`` with Athena's reason."""
    client = lake.client("athena")
    started = time.monotonic()
    try:
        query_id = client.start_query_execution(
            QueryString=sql,
            WorkGroup=how.workgroup or lake.name("WorkgroupName"),
            QueryExecutionContext={
                "Database": how.database or lake.name(f"{how.layer.capitalize()}DatabaseName")
            },
            **_reuse(how.reuse_minutes),
        )["QueryExecutionId"]
    except ClientError as refused:
        details = refused.response["Error"]
        if details["Code"] != "InvalidRequestException":
            raise
        raise CommandError(f"Athena refused the query: {details.get('Message', '')}") from refused
    execution = _wait(client, query_id, started + how.timeout_seconds)
    statement_type = execution.get("StatementType", "DML")
    columns, types, rows, truncated = _read(client, query_id, statement_type, how.max_rows)
    told = execution.get("Statistics", {})
    reused = bool(told.get("ResultReuseInformation", {}).get("ReusedPreviousResult", False))
    scanned_bytes = int(told.get("DataScannedInBytes", 0))
    return Result(
        query_id, columns, types, rows, truncated, time.monotonic() - started, scanned_bytes, reused
    )


def _reuse(minutes: int) -> dict[str, Any]:
    """What asks Athena for an earlier answer. Where it has none, or may not reuse it, it runs the query."""
    if not minutes:
        return {}
    by_age = {"Enabled": True, "MaxAgeInMinutes": minutes}
    return {"ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": by_age}}


def _wait(client: Any, query_id: str, deadline: float) -> dict[str, Any]:
    """Poll, at first often, until the query is over; stop it when the time is up."""
    pause_seconds = FIRST_POLL_SECONDS
    while True:
        execution: dict[str, Any] = client.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        state = execution["Status"]["State"]
        if state in FINISHED:
            break
        if time.monotonic() > deadline:
            client.stop_query_execution(QueryExecutionId=query_id)
            raise TimedOutError("The query was not done in time and was stopped. Allow it more: --timeout.")
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.5, LONGEST_POLL_SECONDS)
    if state != "SUCCEEDED":
        reason = execution["Status"].get("StateChangeReason", "no reason was given").strip()
        reason = reason.split("\n\n")[0]  # below it some engines print their stack
        raise CommandError(f"The query {state.lower()}: {reason}")
    return execution


def _read(
    client: Any, query_id: str, statement_type: str, max_rows: int
) -> tuple[list[str], list[str], list[list[Value]], bool]:
    """Columns, types, rows as Python values, and whether rows were left out."""
    rows: list[list[Value]] = []
    columns: list[str] = []
    types: list[str] = []
    first_page = True
    for page in client.get_paginator("get_query_results").paginate(QueryExecutionId=query_id):
        info = page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        columns, types = [c["Name"] for c in info], [c["Type"] for c in info]
        raw = [[item.get("VarCharValue") for item in row["Data"]] for row in page["ResultSet"]["Rows"]]
        # Only a SELECT's first row repeats the names; SHOW and DESCRIBE start with data.
        if first_page and statement_type == "DML" and raw and raw[0] == columns:
            raw = raw[1:]
        first_page = False
        rows += [[_value(v, t) for v, t in zip(row, types, strict=True)] for row in raw]
        if len(rows) > max_rows:
            return columns, types, rows[:max_rows], True
    return columns, types, rows, False


_READERS: dict[str, Callable[[str], Value]] = {
    "tinyint": int,
    "smallint": int,
    "integer": int,
    "bigint": int,
    "float": float,
    "real": float,
    "double": float,
    "boolean": lambda text: text == "true",
    "decimal": Decimal,
}


def _value(text: str | None, athena_type: str) -> Value:
    """A cell as Python sees it; what is no number or truth value stays the text Athena wrote."""
    if text is None:
        return None
    return _READERS.get(athena_type.partition("(")[0], str)(text)
