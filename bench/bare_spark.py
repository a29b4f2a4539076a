"""Read a CSV of flights and append it to an Iceberg table, nothing else; prints seconds as a JSON list."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = (
    "day int, dep_time int, sched_dep_time int, dep_delay int, arr_time int, sched_arr_time int, "
    "arr_delay int, carrier string, flight int, tailnum string, origin string, dest string, air_time int, "
    "distance int, hour int, minute int, time_hour timestamp"
)
TIMES = 4


def main(source: str, warehouse: str) -> list[float]:
    """Seconds of each read and write, the first in a cold session."""
    jars = sorted(str(path) for path in (ROOT / ".cache" / "jars").glob("iceberg-spark-runtime-*.jar"))
    builder = SparkSession.builder.master("local[2]")
    for name, value in {
        "spark.driver.extraClassPath": ":".join(jars),
        "spark.driver.memory": "2g",
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.catalog.local": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.local.type": "hadoop",
        "spark.sql.catalog.local.warehouse": warehouse,
    }.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sql(f"CREATE TABLE local.lake.flights ({SCHEMA}) USING iceberg")
    seconds = []
    for _ in range(TIMES):
        began = time.monotonic()
        frame = spark.read.csv(source, schema=SCHEMA, header=True, nullValue="NA")
        frame.writeTo("local.lake.flights").append()
        seconds.append(round(time.monotonic() - began, 3))
    spark.stop()
    return seconds


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(main(sys.argv[1], folder)))
