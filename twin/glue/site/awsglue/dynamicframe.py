"""A DynamicFrame as far as our jobs use one: files that Spark reads as lines."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType


class DynamicFrame:
    """Lines of files. One that has no file has no columns either, as in Glue."""

    def __init__(self, spark: SparkSession, files: list[str]) -> None:
        self._spark = spark
        self._files = files

    def toDF(self) -> DataFrame:  # noqa: N802 - Glue's name
        """The lines as a DataFrame."""
        if not self._files:
            return self._spark.createDataFrame([], StructType())
        return self._spark.read.option("__globPaths__", "false").text(self._files)
