"""Lake Formation's API, as far as the product and its tests call it; any other call is refused.

Shapes and error names: botocore's model of the service and the API reference,
https://docs.aws.amazon.com/lake-formation/latest/APIReference/ . (moto has a Lake Formation too, but a second
call of its AddLFTagsToResource takes the first one's tags away, and it has no data cells filters.)
"""

from __future__ import annotations

import asyncio
import json
from types import ModuleType
from typing import Any, Final

from twin import hooks
from twin.context import Context
from twin.glue.api import Answer, ApiError, Handler, JsonObject, error_answer
from twin.lakeformation import enforcement, state
from twin.lakeformation.state import LakeFormation

NAME: Final = "lakeformation"
VENDED: Final = "GetTemporaryGlueTableCredentials"
_current: list[LakeFormation] = []


def current() -> LakeFormation:
    """The twin's Lake Formation."""
    return _current[0]


def install(app: ModuleType, context: Context) -> None:
    """Serve the API under its own name, with IAM deciding who may call it."""
    from ministack.core import iam_actions, iam_evaluator, router

    lake = LakeFormation(context.account)
    _current[:] = [lake]
    hooks.require(iam_actions, "SERVICE_TO_IAM_NAMESPACE", "_BOTOCORE_SERVICE_MAP")
    hooks.require(iam_evaluator, "resolve_credential")
    hooks.require(router, "extract_access_key_id")
    iam_actions.SERVICE_TO_IAM_NAMESPACE[NAME] = NAME
    iam_actions._BOTOCORE_SERVICE_MAP[NAME] = [NAME]
    hooks.replace(iam_actions, "extract_iam_action", _named_as_iam_does)
    enforcement.keep_default_permissions()
    enforcement.forget_deleted_tables(lake)
    app.SERVICE_HANDLERS[NAME] = _handler(context, lake)
    app.SERVICE_HANDLERS["glue"] = _hiding_absence(lake, app.SERVICE_HANDLERS["glue"])


def _named_as_iam_does(original: Any) -> Any:
    """Handing out keys is governed by an action of another name (Service Authorization Reference)."""

    def extract(*arguments: Any) -> Any:
        action = original(*arguments)
        return f"{NAME}:GetDataAccess" if action == f"{NAME}:{VENDED}" else action

    return extract


def _handler(context: Context, lake: LakeFormation) -> Any:
    def run(name: str, headers: dict[str, str], request: JsonObject) -> JsonObject:
        if name == VENDED:
            table = enforcement.table_by_arn(request["TableArn"])
            return enforcement.vend(context, lake, caller_arn(headers), table)
        if name not in state.ACTIONS:
            raise ApiError("InvalidInputException", f"The twin's Lake Formation does not know {name}.")
        answer: JsonObject = state.ACTIONS[name](lake, request)
        return answer

    async def handler(
        _method: str, path: str, headers: dict[str, str], body: bytes, _query: dict[str, Any]
    ) -> Answer:
        request = json.loads(body or b"{}")
        try:
            answer = await asyncio.to_thread(run, path.strip("/"), headers, request)
        except ApiError as error:
            return error_answer(error)
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    return handler


def _hiding_absence(lake: LakeFormation, original: Handler) -> Handler:
    """Glue's API, where Lake Formation hides from who may make no table that one is not there."""

    async def handler(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Answer:
        answer = await original(method, path, headers, body, query)
        if headers.get("x-amz-target") != "AWSGlue.GetTable" or b"EntityNotFoundException" not in answer[2]:
            return answer
        request = json.loads(body)
        if enforcement.is_told_of_absence(lake, caller_arn(headers), request["DatabaseName"]):
            return answer
        refusal = f"Insufficient Lake Formation permission(s) on {request['Name']}"
        return error_answer(ApiError("AccessDeniedException", refusal))

    return handler


def caller_arn(headers: dict[str, str]) -> str:
    """Who signed a request that the server has let through."""
    from ministack.core import iam_evaluator, router

    return str(iam_evaluator.resolve_credential(router.extract_access_key_id(headers)).principal_arn)
