"""``python -m twin.jars``: the Java libraries that Glue brings along, resolved once into ``.cache/jars``.

Spark's own resolver does the work, so Java and PySpark are all it needs. The versions are Glue 5.1's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from twin.errors import TwinError

COORDINATES: Final = (
    "org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.10.0",
    "org.apache.iceberg:iceberg-aws-bundle:1.10.0",
    "org.apache.hadoop:hadoop-aws:3.3.4",
)
RESOLVE_SECONDS: Final = 900
PROJECT_ROOT: Final = Path(__file__).resolve().parents[1]
JARS_DIR: Final = PROJECT_ROOT / ".cache" / "jars"
RECORD_FILE: Final = "resolved.json"
"""Written last: the coordinates that were resolved, and each jar's size in bytes."""


class JarsError(TwinError):
    """The Java libraries cannot be resolved, or are not there."""


def spark_home(project_root: Path = PROJECT_ROOT) -> Path:
    """The folder of the PySpark distribution in the project's environment."""
    found = sorted((project_root / ".venv").glob("lib/python*/site-packages/pyspark"))
    if not found:
        raise JarsError("PySpark is not installed in .venv: run `make setup`.")
    return found[0]


def class_path(jars_dir: Path = JARS_DIR) -> str:
    """The resolved jars, as Java's class path. Raises ``JarsError`` when they are missing."""
    if not is_resolved(jars_dir):
        raise JarsError("The Spark libraries are missing: run `make setup`, or `python -m twin.jars`.")
    return os.pathsep.join(str(path) for path in sorted(jars_dir.glob("*.jar")))


def is_resolved(jars_dir: Path) -> bool:
    """Whether the folder holds what ``COORDINATES`` name, every jar whole."""
    record_path = jars_dir / RECORD_FILE
    if not record_path.is_file():
        return False
    record = json.loads(record_path.read_text())
    sizes: dict[str, int] = record["size_bytes"]
    return record["coordinates"] == list(COORDINATES) and all(
        (jars_dir / name).is_file() and (jars_dir / name).stat().st_size == size
        for name, size in sizes.items()
    )


def resolve(jars_dir: Path = JARS_DIR) -> None:
    """Resolve ``COORDINATES`` into ``jars_dir``, replacing what was there."""
    jars_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars_dir.parent, prefix="resolving-") as workspace:
        ivy = Path(workspace, "ivy")
        _run_resolver(Path(workspace), ivy)
        fresh = Path(workspace, "jars")
        fresh.mkdir()
        for jar in (ivy / "jars").glob("*.jar"):
            # Ivy names a jar <group>_<artifact>-<version>; a group never holds an underscore.
            jar.rename(fresh / jar.name.partition("_")[2])
        sizes = {jar.name: jar.stat().st_size for jar in fresh.iterdir()}
        record = {"coordinates": list(COORDINATES), "size_bytes": sizes}
        (fresh / RECORD_FILE).write_text(json.dumps(record, indent=1))
        shutil.rmtree(jars_dir, ignore_errors=True)
        fresh.rename(jars_dir)


def _run_resolver(workspace: Path, ivy: Path) -> None:
    """Let ``spark-submit`` resolve the packages of an empty program."""
    program = workspace / "nothing.py"
    program.write_text("")
    home = spark_home()
    command = [
        str(home / "bin" / "spark-submit"),
        "--master",
        "local[1]",
        "--packages",
        ",".join(COORDINATES),
    ]
    command += ["--conf", f"spark.jars.ivy={ivy}", str(program)]
    environment = {**os.environ, "SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=RESOLVE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise JarsError(f"Resolving the Spark libraries took longer than {RESOLVE_SECONDS} s.") from None
    if done.returncode != 0:
        log = workspace.parent / "jars-resolver.log"
        log.write_text(done.stdout + done.stderr)
        raise JarsError(
            f"The Spark libraries could not be resolved (is Java 17 there, and a network?): see {log}."
        )


def main() -> int:
    """Resolve unless it is done already."""
    try:
        if not is_resolved(JARS_DIR):
            sys.stderr.write("Spark libraries: resolving (385 MB, once) ...\n")
            resolve()
    except TwinError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    count = len(list(JARS_DIR.glob("*.jar")))
    sys.stderr.write(f"Spark libraries: {count} jars in {JARS_DIR.relative_to(PROJECT_ROOT)}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
