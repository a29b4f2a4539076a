"""Actions of a JSON service that the twin answers itself; every other action goes on to the emulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from twin.errors import CallRefusedError, TwinError

JsonObject = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Answer]]
Action = Callable[[JsonObject], JsonObject]


class ApiError(TwinError):
    """An error the API's caller is to get, under the name AWS has for it."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def handle_with(actions: Mapping[str, Action], otherwise: Handler) -> Handler:
    """A handler that answers ``actions`` on worker threads (they may call back over HTTPS)."""

    async def handler(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Answer:
        action = actions.get(headers.get("x-amz-target", "").rpartition(".")[2])
        if action is None:
            return await otherwise(method, path, headers, body, query)
        try:
            return _answer(200, await asyncio.to_thread(action, json.loads(body or b"{}")))
        except ApiError as error:
            return error_answer(error)
        except CallRefusedError as error:
            return _answer(error.status, {"__type": error.code, "message": error.reason})

    return handler


def error_answer(error: ApiError) -> Answer:
    """An error as the JSON protocols carry it."""
    return _answer(400, {"__type": error.code, "message": str(error)})


def _answer(status: int, body: JsonObject) -> Answer:
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body, default=str).encode()
