"""One Spark session per test worker, with a local Iceberg catalog under the name the jobs use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.spark.lake import Lake

ROOT = Path(__file__).resolve().parents[2]
JARS = ROOT / ".cache" / "jars"


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session as Glue gives it: Iceberg's extensions, catalog ``glue_catalog``; here on local files."""
    warehouse = tmp_path_factory.mktemp("warehouse")
    session = _builder(warehouse, ansi=False).getOrCreate()
    yield session
    session.stop()


@pytest.fixture
def make(spark: SparkSession, tmp_path: Path) -> Callable[[Any], Lake]:
    """Makes the lake of one dataset from its plan."""
    return lambda plan: Lake(spark, tmp_path, plan)


def _builder(warehouse: Path, *, ansi: bool) -> SparkSession.Builder:
    jars = sorted(str(path) for path in JARS.glob("iceberg-spark-runtime-*.jar"))
    if not jars:
        pytest.fail(f"no Iceberg jar in {JARS}: run `make setup`")
    settings = {
        "spark.driver.extraClassPath": ":".join(jars),
        "spark.driver.memory": "2g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC -Dderby.system.home=/tmp",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(warehouse / "local"),
        "spark.sql.warehouse.dir": str(warehouse / "spark"),
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.glue_catalog": "org.apache.iceberg.spark.SparkCatalog",
        # In memory: a catalog on local files starts a chmod for every file it writes.
        "spark.sql.catalog.glue_catalog.catalog-impl": "org.apache.iceberg.inmemory.InMemoryCatalog",
        "spark.sql.catalog.glue_catalog.warehouse": "memory",
        "spark.sql.ansi.enabled": str(ansi).lower(),
    }
    builder = SparkSession.builder.master("local[2]").appName("tests")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder
