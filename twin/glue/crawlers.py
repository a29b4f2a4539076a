"""Glue's crawlers: StartCrawler really looks into the files, as the crawler's role.

One table is made for each S3 target, named after the target's last folder; mixed formats in one target fail
the crawl, where Glue would guess at several tables.
"""

from __future__ import annotations

import contextvars
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import duckdb
from botocore.exceptions import ClientError
from ministack.services import glue as emulated

from twin import hooks
from twin.athena.caller import Caller, split_url
from twin.athena.engine import connection_of
from twin.athena.errors import QueryError
from twin.context import Context
from twin.errors import RoleUnusableError, TwinError
from twin.glue.api import ApiError, JsonObject
from twin.glue.classify import HEAD_BYTES, Finding, classify

LOG_GROUP: Final = "/aws-glue/crawlers"
SAMPLED_FILES: Final = 100
"""How many files of a target are looked into; the others are only counted."""
BATCH_SIZE: Final = 100
"""BatchCreatePartition takes no more partitions at once."""
log = logging.getLogger("twin.glue")


class CrawlError(TwinError):
    """A crawl that fails; the message is the crawler's LastCrawl.ErrorMessage."""


@dataclass(frozen=True)
class Partition:
    """One folder that holds files: its address and the values in its path."""

    location: str
    keys: tuple[str, ...]
    values: tuple[str, ...]


class CrawlerRunner:
    """Answers StartCrawler, and refuses changes of a crawler that is running."""

    def __init__(self, context: Context) -> None:
        hooks.require(emulated, "_crawlers")
        self._context = context
        self._lock = threading.Lock()

    def start_crawler(self, request: JsonObject, ended: Callable[[str], None] | None = None) -> JsonObject:
        """Crawl on a thread of its own; ``ended`` is called with the crawl's status, last of all."""
        name = request["Name"]
        with self._lock:
            crawler = _known(name)
            _refuse_running(crawler)
            crawler.update(State="RUNNING", CrawlElapsedTime=0)
        self._emit(crawler, "Started")
        thread_context = contextvars.copy_context()
        threading.Thread(target=thread_context.run, args=(self._crawl, crawler, ended), daemon=True).start()
        return {}

    def update_crawler(self, request: JsonObject) -> JsonObject:
        """Change a crawler that is not running."""
        _refuse_running(_known(request["Name"]))
        return self._context.call("glue", "UpdateCrawler", request, "AWSGlue")

    def delete_crawler(self, request: JsonObject) -> JsonObject:
        """Delete a crawler that is not running."""
        _refuse_running(_known(request["Name"]))
        return self._context.call("glue", "DeleteCrawler", request, "AWSGlue")

    def stop_crawler(self, request: JsonObject) -> JsonObject:
        """Refused: a crawl here takes seconds, and half a table would be no use."""
        crawler = _known(request["Name"])
        if crawler["State"] != "RUNNING":
            raise ApiError("CrawlerNotRunningException", f"Crawler {request['Name']} is not running")
        raise ApiError("InvalidInputException", "The twin does not stop crawlers: wait for this one.")

    # --- A crawl ----------------------------------------------------------------------------------

    def _crawl(self, crawler: JsonObject, ended: Callable[[str], None] | None) -> None:
        """Crawl to the end, and tell it: LastCrawl, log, event, state."""
        begun = time.time()
        last = {"LogGroup": LOG_GROUP, "LogStream": crawler["Name"], "MessagePrefix": str(uuid.uuid4())}
        try:
            tables = self._crawl_targets(crawler)
            last["Status"] = "SUCCEEDED"
            lines = [f"INFO : Created or updated table {table}" for table in tables]
        except (CrawlError, QueryError, RoleUnusableError, ClientError) as error:
            last.update(Status="FAILED", ErrorMessage=str(error))
            lines = [f"ERROR : {error}"]
        except Exception as error:  # the twin's own failure is the crawl's, as on AWS; the log has it whole
            log.exception("The twin failed to crawl %s.", crawler["Name"])
            last.update(Status="FAILED", ErrorMessage=f"Internal service error: {type(error).__name__}")
            lines = [f"ERROR : {last['ErrorMessage']}"]
        self._context.put_logs(LOG_GROUP, crawler["Name"], [f"[{last['MessagePrefix']}] {x}" for x in lines])
        self._emit(crawler, "Succeeded" if last["Status"] == "SUCCEEDED" else "Failed")
        elapsed_ms = round((time.time() - begun) * 1000)
        # The state last: whoever sees READY finds the rest complete.
        crawler["LastCrawl"] = {**last, "StartTime": begun}
        crawler.update(CrawlElapsedTime=elapsed_ms, State="READY")
        if ended is not None:
            ended(str(last["Status"]))

    def _crawl_targets(self, crawler: JsonObject) -> list[str]:
        targets = crawler["Targets"]
        if [kind for kind, given in targets.items() if given and kind != "S3Targets"]:
            raise CrawlError("The twin crawls S3 targets only.")
        credentials = self._context.role_session(crawler["Role"], "AWS-Crawler", "glue.amazonaws.com")
        caller = Caller(self._context, credentials)
        with connection_of(caller) as duck:
            found = [self._crawl_target(crawler, target, caller, duck) for target in targets["S3Targets"]]
        return [name for name in found if name]

    def _crawl_target(
        self, crawler: JsonObject, target: JsonObject, caller: Caller, duck: duckdb.DuckDBPyConnection
    ) -> str | None:
        """Make the target's table and partitions; its name, or None where there is nothing to see."""
        root = target["Path"].rstrip("/") + "/"
        listed = caller.list_files(root)
        excluded = target.get("Exclusions", [])
        files = {
            url: size for url, size in listed.items() if not _is_excluded(url.removeprefix(root), excluded)
        }
        finding = _classify_all(files, caller, duck)
        if finding is None:
            return None
        partitions = _partitions(root, files)
        name = str(crawler.get("TablePrefix", "")) + _table_name(root)
        finding.parameters.update(
            {
                "classification": finding.classification,
                "typeOfData": "file",
                "objectCount": str(len(files)),
                "sizeKey": str(sum(files.values())),
                "CrawlerSchemaSerializerVersion": "1.0",
                "CrawlerSchemaDeserializerVersion": "1.0",
                "UPDATED_BY_CRAWLER": crawler["Name"],
            }
        )
        storage = {**finding.storage(root), "Parameters": finding.parameters}
        table = {
            "Name": name,
            "Owner": "owner",
            "TableType": "EXTERNAL_TABLE",
            "Parameters": finding.parameters,
            "PartitionKeys": [{"Name": key, "Type": "string"} for key in partitions[0].keys],
            "StorageDescriptor": storage,
        }
        _write_table(crawler, table, caller)
        if table["PartitionKeys"]:
            _write_partitions(crawler["DatabaseName"], table, partitions, caller)
        return name

    def _emit(self, crawler: JsonObject, state: str) -> None:
        """Tell EventBridge, as in ``.../glue/latest/dg/automating-awsglue-with-cloudwatch-events.html``."""
        detail = {"crawlerName": crawler["Name"], "state": state, "accountId": self._context.account}
        self._context.emit_event("aws.glue", "Glue Crawler State Change", detail)


def _known(name: str) -> JsonObject:
    crawler: JsonObject | None = emulated._crawlers.get(name)
    if crawler is None:
        raise ApiError("EntityNotFoundException", f"Crawler {name} not found")
    return crawler


def _refuse_running(crawler: JsonObject) -> None:
    if crawler["State"] != "READY":
        raise ApiError("CrawlerRunningException", f"Crawler with name {crawler['Name']} has already started")


def _is_excluded(path: str, patterns: list[str]) -> bool:
    """Glue's globs: ``*`` stays within a folder, ``**`` does not."""
    return any(re.fullmatch(_glob(pattern), path) for pattern in patterns)


def _glob(pattern: str) -> str:
    """A glob as a regular expression."""
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.sub(
        r"\*\*/|\*\*|\*|\?|[^*?]+", lambda part: meanings.get(part[0]) or re.escape(part[0]), pattern
    )


def _classify_all(files: dict[str, int], caller: Caller, duck: duckdb.DuckDBPyConnection) -> Finding | None:
    """What the files hold in common; None where no classifier knows any of them."""
    merged: Finding | None = None
    for url in list(files)[:SAMPLED_FILES]:
        bucket, key = split_url(url)
        head = caller.s3.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{HEAD_BYTES - 1}")["Body"].read()
        finding = classify(url, head, duck)
        if finding is None:
            continue
        if merged is None:
            merged = finding
        elif merged.classification != finding.classification:
            raise CrawlError(
                f"Files of different formats: {merged.classification}, {finding.classification}."
            )
        else:
            merged.merge(finding)
    return merged


def _table_name(root: str) -> str:
    """The last folder, or the bucket, as a name that the catalog takes."""
    return re.sub(r"[^a-z0-9_]", "_", root.rstrip("/").rsplit("/", 1)[-1].lower())


def _partitions(root: str, files: dict[str, int]) -> list[Partition]:
    """The folders below the root; ``k=v`` names a key, another folder is ``partition_0`` and so on."""
    folders = sorted({url.removeprefix(root).rpartition("/")[0] for url in files})
    partitions = []
    for folder in folders:
        names = folder.split("/") if folder else []
        pairs = [name.partition("=") for name in names]
        keys = tuple(key.lower() if mark else f"partition_{i}" for i, (key, mark, _) in enumerate(pairs))
        values = tuple(value if mark else key for key, mark, value in pairs)
        partitions.append(Partition(f"{root}{folder}/" if folder else root, keys, values))
    if len({partition.keys for partition in partitions}) > 1:
        raise CrawlError("The files lie in folders of different depths or keys.")
    return partitions


def _write_table(crawler: JsonObject, table: dict[str, Any], caller: Caller) -> None:
    """Create the table, or change it as the crawler's policy says."""
    database = crawler["DatabaseName"]
    try:
        caller.glue.get_table(DatabaseName=database, Name=table["Name"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityNotFoundException":
            raise
        caller.glue.create_table(DatabaseName=database, TableInput=table)
        return
    if crawler.get("SchemaChangePolicy", {}).get("UpdateBehavior") != "LOG":
        caller.glue.update_table(DatabaseName=database, TableInput=table)


def _write_partitions(
    database: str, table: dict[str, Any], partitions: list[Partition], caller: Caller
) -> None:
    """Add the partitions that are not there yet."""
    inputs = [
        {
            "Values": list(partition.values),
            "StorageDescriptor": {**table["StorageDescriptor"], "Location": partition.location},
            "Parameters": table["Parameters"],
        }
        for partition in partitions
    ]
    for start in range(0, len(inputs), BATCH_SIZE):
        answer = caller.glue.batch_create_partition(
            DatabaseName=database,
            TableName=table["Name"],
            PartitionInputList=inputs[start : start + BATCH_SIZE],
        )
        codes = {error["ErrorDetail"]["ErrorCode"] for error in answer.get("Errors", [])}
        if codes - {"AlreadyExistsException"}:
            raise CrawlError(
                f"Partitions of {table['Name']} could not be written: {', '.join(sorted(codes))}"
            )
