"""Athena's query executions: the emulator's API, the twin's engine, the caller's permissions."""

from __future__ import annotations

import asyncio
import contextvars
import csv
import io
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import duckdb
from botocore.exceptions import ClientError
from ministack.core import iam_evaluator, router
from ministack.services import athena as emulated

from twin import hooks
from twin.athena import dialect, engine, statements
from twin.athena.caller import Caller, split_url
from twin.athena.errors import USER_ERROR, QueryError
from twin.context import Context
from twin.glue.api import Answer, ApiError, Handler, JsonObject, error_answer

CANCELLED: Final = "CANCELLED"
log = logging.getLogger("twin.athena")
_caller: contextvars.ContextVar[Caller] = contextvars.ContextVar("athena_caller")
_parameters: contextvars.ContextVar[list[str]] = contextvars.ContextVar("athena_parameters")
_reuse_minutes: contextvars.ContextVar[int] = contextvars.ContextVar("athena_reuse_minutes")


class Queries:
    """Starts, runs and stops executions. ``install`` puts it in the emulator's place."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._connections: dict[str, duckdb.DuckDBPyConnection] = {}
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[float, engine.Result]] = {}

    def install(self, app: Any) -> None:
        """Hook the handler and the functions that execute."""
        hooks.require(iam_evaluator, "resolve_credential", "enforce")
        hooks.require(router, "extract_access_key_id")
        hooks.require(emulated, "_executions", "_workgroups", "_ensure_default_workgroup")
        hooks.replace(emulated, "_execute_query", lambda _: self._execute)
        hooks.replace(emulated, "_stop_query_execution", self._stopping)
        hooks.replace(emulated, "_get_query_results", _with_decimals)
        app.SERVICE_HANDLERS["athena"] = self._handler(app.SERVICE_HANDLERS["athena"])

    def _handler(self, otherwise: Handler) -> Handler:
        async def handler(
            method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
        ) -> Answer:
            action = headers.get("x-amz-target", "").rpartition(".")[2]
            try:
                if action == "GetQueryResults":
                    _require_results(self._context, headers, json.loads(body))
                if action == "StartQueryExecution":
                    request = _checked(json.loads(body))
                    _require_default_database(self._context, headers)
                    _require_bucket(self._context, headers, request)
            except ApiError as error:
                return error_answer(error)
            if action == "StartQueryExecution":
                # The emulator starts a task for the query, and the task sees what is set here.
                _caller.set(_caller_of(self._context, headers))
                _parameters.set(request.pop("ExecutionParameters", []))
                _reuse_minutes.set(_minutes(request.pop("ResultReuseConfiguration", {})))
                body = json.dumps(request).encode()
            return await otherwise(method, path, headers, body, query)

        return handler

    async def _execute(self, query_id: str, query: str, database: str, *_: object) -> None:
        execution = emulated._executions[query_id]
        work = contextvars.copy_context()
        await asyncio.to_thread(work.run, self._run, execution, query, database)

    def _run(self, execution: JsonObject, query: str, database: str) -> None:
        status, begun = execution["Status"], time.time()
        _name_result_file(execution)
        with self._lock:
            if status["State"] == CANCELLED:
                return
            status["State"] = "RUNNING"
        try:
            self._answer(execution, query, database, _caller.get())
            _finish(status, "SUCCEEDED")
        except QueryError as error:
            _fail(status, error)
        except Exception as error:  # the twin's own failure is the query's, as on AWS; the log has it whole
            log.exception("The twin failed to answer query %s.", execution["QueryExecutionId"])
            _fail(
                status, QueryError("GENERIC_INTERNAL_ERROR", f"The twin failed with {type(error).__name__}")
            )
        finally:
            self._connections.pop(execution["QueryExecutionId"], None)
            elapsed_ms = round((time.time() - begun) * 1000)
            execution["Statistics"].update(
                EngineExecutionTimeInMillis=elapsed_ms, TotalExecutionTimeInMillis=elapsed_ms
            )
            self._emit(execution)

    def _answer(self, execution: JsonObject, query: str, database: str, caller: Caller) -> None:
        """A new answer, or an earlier one of the same workgroup where one is wanted and may be had."""
        key = _reuse_key(execution)

        def earlier() -> engine.Result | None:
            made, result = self._answers.get(key, (0.0, None))
            fresh = result is not None and time.time() - made <= _reuse_minutes.get() * 60
            return result if result and fresh and caller.may_read(result.location) else None

        result = engine.run(query, database, caller, _parameters.get(), self._remember(execution), earlier)
        execution["Statistics"]["ResultReuseInformation"] = {"ReusedPreviousResult": result.reused}
        _refuse_large_scan(execution, result)
        _save(execution, result, caller)
        if result.reusable and not result.reused:
            self._answers[key] = (time.time(), result)

    def _emit(self, execution: JsonObject) -> None:
        """Tell EventBridge, as in ``.../athena/latest/ug/athena-events.html``."""
        detail = {
            "versionId": "0",
            "previousState": "RUNNING",
            "currentState": execution["Status"]["State"],
            "statementType": execution["StatementType"],
            "queryExecutionId": execution["QueryExecutionId"],
            "workgroupName": execution["WorkGroup"],
            "sequenceNumber": "3",
        }
        self._context.emit_event("aws.athena", "Athena Query State Change", detail)

    def _remember(self, execution: JsonObject) -> Callable[[duckdb.DuckDBPyConnection], None]:
        def remember(connection: duckdb.DuckDBPyConnection) -> None:
            self._connections[execution["QueryExecutionId"]] = connection
            if execution["Status"]["State"] == CANCELLED:  # before there was a connection to interrupt
                raise QueryError(CANCELLED, "Query was cancelled by user")

        return remember

    def _stopping(self, original: Callable[[JsonObject], Any]) -> Callable[[JsonObject], Any]:
        def stop(request: JsonObject) -> Any:
            with self._lock:
                answer = original(request)
            if connection := self._connections.get(request["QueryExecutionId"]):
                connection.interrupt()
            return answer

        return stop


def _minutes(reuse: JsonObject) -> int:
    """How old an answer may be to be reused; an hour where no age is said, and 0 where none may be."""
    by_age = reuse.get("ResultReuseByAgeConfiguration", {})
    return int(by_age.get("MaxAgeInMinutes", 60)) if by_age.get("Enabled") else 0


def _reuse_key(execution: JsonObject) -> str:
    """What has to be the same for an answer to be reused."""
    folder = execution["ResultConfiguration"]["OutputLocation"].rpartition("/")[0]
    context = execution["QueryExecutionContext"]
    return json.dumps([execution["Query"], context, execution["WorkGroup"], folder, _parameters.get()])


def _caller_of(context: Context, headers: dict[str, str]) -> Caller:
    """Who signed a request that the server has let through."""
    key_id = router.extract_access_key_id(headers)
    found = iam_evaluator.resolve_credential(key_id)
    credentials = {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": found.secret_access_key}
    if found.session_token:
        credentials["AWS_SESSION_TOKEN"] = found.session_token
    return Caller(context, credentials, found.principal_arn)


def _checked(request: JsonObject) -> JsonObject:
    """What Athena checks before it accepts a query; the request with the workgroup's enforced settings."""
    emulated._ensure_default_workgroup()
    name = request.get("WorkGroup", "primary")
    workgroup = emulated._workgroups.get(name)
    if workgroup is None:
        raise ApiError("InvalidRequestException", f"WorkGroup {name} is not found.")
    if workgroup["State"] != "ENABLED":
        raise ApiError("InvalidRequestException", f"WorkGroup {name} is disabled.")
    configuration = workgroup.get("Configuration", {})
    results = dict(configuration.get("ResultConfiguration") or {})
    if not configuration.get("EnforceWorkGroupConfiguration"):
        results.update(request.get("ResultConfiguration") or {})
    if location := results.get("OutputLocation"):
        results["OutputLocation"] = location.rstrip("/") + "/"
    query = request["QueryString"]
    if statements.find(query) is None:
        try:
            dialect.parse(query)
        except QueryError as error:
            raise ApiError("InvalidRequestException", str(error).partition(": ")[2]) from error
    return {**request, "WorkGroup": name, "ResultConfiguration": results}


def _require_default_database(context: Context, headers: dict[str, str]) -> None:
    """Athena looks at the database ``default`` as the caller, whatever is asked.

    Source: Athena user guide, "Configure access to databases and tables in the AWS Glue Data Catalog".
    """
    default = f"arn:aws:glue:{context.region}:{context.account}:database/default"
    if not _may(context, headers, "glue:GetDatabase", default):
        raise ApiError(
            "AccessDeniedException", f"The caller is not authorized to perform: glue:GetDatabase on {default}"
        )


def _require_bucket(context: Context, headers: dict[str, str], request: JsonObject) -> None:
    """Athena looks where the bucket of the results is, as the caller, before it takes a query.

    Source: Athena user guide, "Access to Amazon S3 from Athena".
    """
    bucket, _ = split_url(request["ResultConfiguration"].get("OutputLocation", ""))
    if bucket and not _may(context, headers, "s3:GetBucketLocation", f"arn:aws:s3:::{bucket}"):
        raise ApiError("InvalidRequestException", f"Unable to verify/create output bucket {bucket}")


def _require_results(context: Context, headers: dict[str, str], request: JsonObject) -> None:
    """Athena reads the results as the caller. Source: API reference, GetQueryResults."""
    execution = emulated._executions.get(request.get("QueryExecutionId", ""), {})
    bucket, key = split_url(execution.get("ResultConfiguration", {}).get("OutputLocation", ""))
    if bucket and not _may(context, headers, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}"):
        raise ApiError("AccessDeniedException", f"The caller may not read the results in s3://{bucket}/{key}")


def _may(context: Context, headers: dict[str, str], action: str, resource: str) -> bool:
    key_id = router.extract_access_key_id(headers)
    return iam_evaluator.enforce(key_id, action, action.partition(":")[0], context.region, resource) is None


def _name_result_file(execution: JsonObject) -> None:
    """Results of statements that are no queries are text files; encryption is the workgroup's."""
    results = execution["ResultConfiguration"]
    if execution["StatementType"] != "DML":
        results["OutputLocation"] = results["OutputLocation"].removesuffix(".csv") + ".txt"
    configuration = emulated._workgroups[execution["WorkGroup"]].get("Configuration", {})
    encryption = (configuration.get("ResultConfiguration") or {}).get("EncryptionConfiguration")
    if encryption:
        results["EncryptionConfiguration"] = encryption


def _refuse_large_scan(execution: JsonObject, result: engine.Result) -> None:
    execution["Statistics"]["DataScannedInBytes"] = result.scanned_bytes
    configuration = emulated._workgroups[execution["WorkGroup"]].get("Configuration", {})
    cutoff_bytes = configuration.get("BytesScannedCutoffPerQuery")
    if cutoff_bytes and result.scanned_bytes > int(cutoff_bytes):
        raise QueryError(CANCELLED, "Bytes scanned limit was exceeded")


def _save(execution: JsonObject, result: engine.Result, caller: Caller) -> None:
    """Keep the rows for GetQueryResults, and write them where the workgroup says, unless they are there."""
    if result.reused:
        execution["ResultConfiguration"]["OutputLocation"] = result.location
    else:
        result.location = execution["ResultConfiguration"]["OutputLocation"]
        _write(execution, result, caller)
    execution["_results"] = {"columns": result.columns, "rows": result.rows}
    execution["_column_types"] = result.types
    execution["_decimals"] = result.decimals


def _write(execution: JsonObject, result: engine.Result, caller: Caller) -> None:
    bucket, key = split_url(result.location)
    options = _encryption_options(execution["ResultConfiguration"].get("EncryptionConfiguration") or {})
    body = _as_csv(result) if execution["StatementType"] == "DML" else _as_text(result)
    try:
        caller.s3.put_object(Bucket=bucket, Key=key, Body=body.encode(), **options)
    except ClientError as error:
        reason = error.response["Error"]["Code"]
        raise QueryError(
            "PERMISSION_DENIED" if reason == "AccessDenied" else "GENERIC_INTERNAL_ERROR",
            f"Access denied when writing output to url: {result.location} ({reason})",
        ) from error


def _encryption_options(encryption: JsonObject) -> dict[str, str]:
    kind = encryption.get("EncryptionOption")
    if kind == "SSE_KMS":
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": encryption["KmsKey"]}
    return {"ServerSideEncryption": "AES256"} if kind == "SSE_S3" else {}


def _as_csv(result: engine.Result) -> str:
    """Every value in quotes, except null, which is nothing at all."""
    lines: list[list[Any]] = [result.columns, *result.rows]
    return "".join(",".join(_field(value) for value in line) + "\n" for line in lines)


def _field(value: str | None) -> str:
    return "" if value is None else '"' + value.replace('"', '""') + '"'


def _as_text(result: engine.Result) -> str:
    written = io.StringIO()
    csv.writer(written, delimiter="\t", lineterminator="\n").writerows(result.rows)
    return written.getvalue()


def _finish(status: JsonObject, state: str) -> None:
    """The last state, unless the query was stopped meanwhile."""
    if status["State"] != CANCELLED:
        status.update(State=state, CompletionDateTime=time.time())


def _fail(status: JsonObject, error: QueryError) -> None:
    if status["State"] == CANCELLED:
        return
    is_cutoff = error.name == CANCELLED
    reason = str(error).removeprefix(f"{CANCELLED}: ")
    _finish(status, CANCELLED if is_cutoff else "FAILED")
    status.update(
        StateChangeReason=reason,
        AthenaError={"ErrorCategory": USER_ERROR, "ErrorType": 0, "Retryable": False, "ErrorMessage": reason},
    )


def _with_decimals(original: Callable[[JsonObject], Answer]) -> Callable[[JsonObject], Answer]:
    """The emulator's results, with the precision and scale of decimals."""

    def results(request: JsonObject) -> Answer:
        status, headers, body = original(request)
        decimals = emulated._executions.get(request["QueryExecutionId"], {}).get("_decimals")
        if not decimals:
            return status, headers, body
        answer = json.loads(body)
        described = answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        for place, (precision, scale) in decimals.items():
            described[place].update(Precision=precision, Scale=scale)
        return status, headers, json.dumps(answer).encode()

    return results
