"""SQS event source mappings: batches above ten messages, and the batching window."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from twin import hooks

RECEIVE_LIMIT = 10
"""The most messages one SQS receive returns; a mapping collects a larger batch from several."""


def install() -> None:
    """Replace the receive that ministack's poller makes per batch."""
    from ministack.services import lambda_svc, sqs

    hooks.require(sqs, "_queues")
    hooks.require(lambda_svc, "_iter_all_esms", "_esm_wake")
    hooks.replace(sqs, "_receive_messages_for_esm", _with_window)


def _with_window(receive: Callable[[str, int], list[Any]]) -> Callable[[str, int], list[Any]]:
    from ministack.services import lambda_svc, sqs

    def wrapped(queue_url: str, batch_size: int) -> list[Any]:
        queue = sqs._queues[queue_url]
        missing_seconds = _missing_seconds(queue, batch_size, _window_seconds(queue))
        if missing_seconds > 0:
            timer = threading.Timer(missing_seconds, lambda_svc._esm_wake.set)
            timer.daemon = True
            timer.start()
            return []
        batch: list[Any] = []
        while len(batch) < batch_size:
            received = receive(queue_url, min(RECEIVE_LIMIT, batch_size - len(batch)))
            if not received:
                break
            batch += received
        return batch

    return wrapped


def _window_seconds(queue: dict[str, Any]) -> int:
    from ministack.services import lambda_svc

    arn = queue["attributes"]["QueueArn"]
    return max(
        (
            int(mapping.get("MaximumBatchingWindowInSeconds", 0))
            for _, _, mapping in lambda_svc._iter_all_esms()
            if mapping.get("EventSourceArn") == arn
        ),
        default=0,
    )


def _missing_seconds(queue: dict[str, Any], batch_size: int, window_seconds: int) -> float:
    """How long the window still stays open; 0 when the batch is full, the window over or the queue empty."""
    now = time.time()
    visible_since = [m["visible_at"] for m in queue["messages"] if m["visible_at"] <= now]
    if not visible_since or len(visible_since) >= batch_size:
        return 0
    return max(0.0, float(min(visible_since)) + window_seconds - now)
