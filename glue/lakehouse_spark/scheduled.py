"""Scheduled intake: name the files that are new by the job's bookmark, dataset by dataset, to the ledger.

The bookmark proposes and the ledger decides: a version that it knows already is not taken in again. So the
bookmark is committed last, when every file it would pass over is known to the ledger. A job that dies before
that names the same files again the next time, and nothing is doubled by it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote

from botocore.exceptions import BotoCoreError, ClientError
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql.functions import input_file_name

from lakehouse_spark.errors import FunctionFailed, IntakeFailed, JobError
from lakehouse_spark.failure import failure_of

if TYPE_CHECKING:
    from lakehouse.words import AssetsIndex

KEYS_PER_CALL: Final = 500
COUNTS: Final = ("listed", "registered", "reopened", "unfinished", "ignored")
LINES: Final = {"withHeader": False, "quoteChar": -1, "separator": "\u0001"}
"""Reads any file as lines: what is in them is not looked at here."""


class Functions(Protocol):
    """Lambda functions."""

    def call(self, name: str, event: dict[str, Any]) -> dict[str, Any]:
        """Call a function and wait for its answer. Raises ``FunctionFailed``."""

    def call_later(self, name: str, event: dict[str, Any]) -> None:
        """Have a function called; whether it succeeds is for others to see to."""


class LambdaFunctions:
    """Functions behind a boto3 client, which must wait for as long as a function may take."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def call(self, name: str, event: dict[str, Any]) -> dict[str, Any]:
        """See ``Functions``."""
        answer = self._client.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        payload: dict[str, Any] = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise FunctionFailed(f"{name}: {payload.get('errorType', 'it ended without an answer')}")
        return payload

    def call_later(self, name: str, event: dict[str, Any]) -> None:
        """See ``Functions``."""
        payload = json.dumps(event).encode()
        self._client.invoke(FunctionName=name, Payload=payload, InvocationType="Event")


@dataclass(frozen=True)
class Landing:
    """The Bronze bucket behind a Glue context whose job keeps a bookmark."""

    glue_context: Any
    bucket: str

    def new_keys(self, dataset: str) -> list[str]:
        """The keys of a dataset that are new to the bookmark, as far as they hold a line.

        Spark may give a name URL-encoded or as it is, so a name that could be either is given both ways.
        """
        frame = self.glue_context.create_dynamic_frame.from_options(
            connection_type="s3",
            # Grouped files would lose their names.
            connection_options={
                "paths": [f"s3://{self.bucket}/{dataset}/"],
                "recurse": True,
                "groupFiles": "none",
            },
            format="csv",
            format_options=LINES,
            transformation_ctx=dataset,
        )
        names = frame.toDF().select(input_file_name()).distinct().collect()
        return keys_of((row[0] for row in names), self.bucket)


def keys_of(addresses: Iterable[str], bucket: str) -> list[str]:
    """The keys behind addresses like ``s3://bucket/key``, sorted; an encoded one also decoded."""
    keys = [address.partition(f"://{bucket}/")[2] for address in addresses]
    return sorted({each for key in keys for each in (key, unquote(key)) if each})


def hand_over(
    index: AssetsIndex,
    new_keys: Callable[[str], Sequence[str]],
    functions: Functions,
    reconcile: str,
) -> dict[str, dict[str, int]]:
    """Name the new files of every scheduled dataset to ``reconcile``; returns its counts by dataset.

    A dataset that fails leaves the others alone. Raises ``IntakeFailed`` then, in the end, and the bookmark
    must not be committed.
    """
    counts: dict[str, dict[str, int]] = {}
    failed: list[str] = []
    for dataset in index["scheduled"]:
        try:
            counts[dataset] = _name(dataset, new_keys(dataset), functions, reconcile)
        except (JobError, PySparkException, Py4JError, ClientError, BotoCoreError) as error:
            failed.append(failure_of("", dataset, error)["message"])
    if failed:
        raise IntakeFailed("; ".join(failed))
    return counts


def _name(dataset: str, keys: Sequence[str], functions: Functions, reconcile: str) -> dict[str, int]:
    counts = dict.fromkeys(COUNTS, 0)
    for part in _parts(keys):
        answer = functions.call(reconcile, {"dataset": dataset, "keys": part, "follow": False})
        counts = {name: counts[name] + int(answer[name]) for name in COUNTS}
    return counts


def _parts(keys: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), KEYS_PER_CALL):
        yield list(keys[start : start + KEYS_PER_CALL])
