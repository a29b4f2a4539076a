"""Metrics in CloudWatch's embedded format: a line in the function's log, of which CloudWatch makes metrics.

Format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

from typing import Literal

from aws_lambda_powertools.metrics import EphemeralMetrics

NAMESPACE = "Lakehouse"


class EmfMetrics:
    """Metrics of one lake, told apart from another's by the dimension ``service``."""

    def __init__(self, service: str) -> None:
        self._service = service

    def put(self, name: str, value: float, unit: Literal["Count", "Seconds"], **dimensions: str) -> None:
        """Write one value to the log. It is a metric some seconds later."""
        metrics = EphemeralMetrics(namespace=NAMESPACE, service=self._service)
        for key, text in dimensions.items():
            metrics.add_dimension(key, text)
        metrics.add_metric(name, unit, value)
        metrics.flush_metrics()
