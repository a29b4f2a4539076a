"""What a Glue job finds on its machine: interpreter, libraries, JVM options, the twin's endpoints."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twin.context import Context, Credentials
from twin.errors import TwinError
from twin.jars import class_path, spark_home

PYTHON_PACKAGES: Final = (
    "boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3", "pyspark", "py4j",
)  # fmt: skip
"""All that a job may import beside the standard library, ``awsglue`` and its own zip."""
WARM_UP_ACCOUNT: Final = "999999999999"
"""The warm-up works in an account of its own, so that nothing of it is seen in the lake's."""
TRUST_STORE_PASSWORD: Final = "changeit"  # noqa: S105  # Java's documented default for a store of public certificates
S3A_CREDENTIALS: Final = "com.amazonaws.auth.DefaultAWSCredentialsProviderChain"
OPTIONS_VARIABLE: Final = "TWIN_JVM_OPTIONS"
HERE: Final = Path(__file__).resolve().parent


class MachineError(TwinError):
    """Something that a Glue job needs is missing on this computer."""


@dataclass(frozen=True)
class SparkMachine:
    """Paths and settings for worker processes. Made once per twin by ``prepare``."""

    context: Context
    python: Path
    site_packages: Path
    trust_store: Path
    java_home: str
    archive: Path
    """Java's class archive; made by the first worker ever, valid for these jars and this Java."""
    more_options: tuple[str, ...]
    """What ``TWIN_JVM_OPTIONS`` says, which comes after the twin's own options."""

    def command(self, report_fd: int) -> list[str]:
        """``-S``: no site-packages but ours; ``-P``: nor this folder's modules."""
        return [str(self.python), "-S", "-P", "-u", str(HERE / "worker.py"), str(report_fd)]

    def environment(self, directory: Path, write_archive: Path | None) -> dict[str, str]:
        """A worker's environment variables; credentials come with the job."""
        region = self.context.region
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "TMPDIR": str(directory / "tmp"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "JAVA_HOME": self.java_home,
            "PYTHONPATH": str(self.site_packages),
            "PYSPARK_PYTHON": str(self.python),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_SUBMIT_ARGS": self._submit_arguments(directory, write_archive),
            "AWS_ENDPOINT_URL": self.context.endpoint,
            "AWS_CA_BUNDLE": str(self.context.ca_bundle),
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            # All that a job reaches is here; and macOS may end a forked process that asks it for its proxies.
            "NO_PROXY": "*",
        }

    def _submit_arguments(self, directory: Path, write_archive: Path | None) -> str:
        options = [
            "-XX:+UseSerialGC",
            "-Xlog:cds=off",
            "-Xlog:cds+dynamic=off",
            "-Duser.timezone=UTC",
            f"-Djava.io.tmpdir={directory / 'tmp'}",
            f"-Daws.region={self.context.region}",
            f"-Djavax.net.ssl.trustStore={self.trust_store}",
            f"-Djavax.net.ssl.trustStorePassword={TRUST_STORE_PASSWORD}",
            *self.more_options,
        ]
        if write_archive:
            options.append(f"-XX:ArchiveClassesAtExit={write_archive}")
        elif self.archive.exists():
            options.append(f"-XX:SharedArchiveFile={self.archive}")
        driver = {"class-path": class_path(), "memory": "1g", "java-options": " ".join(options)}
        arguments = [text for name, value in driver.items() for text in (f"--driver-{name}", value)]
        return shlex.join([*arguments, "pyspark-shell"])

    def spark_conf(self, conf: dict[str, str], directory: Path) -> dict[str, str]:
        """A job's ``spark.*`` settings with what the twin adds: where S3 and Glue are, and all is local."""
        endpoint = self.context.endpoint
        added = {
            "spark.master": "local[*]",
            "spark.submit.deployMode": "client",
            "spark.ui.enabled": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.local.dir": str(directory / "tmp"),
            "spark.sql.warehouse.dir": str(directory / "warehouse"),
            "spark.sql.shuffle.partitions": str(os.cpu_count() or 2),
            "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
            "spark.hadoop.fs.s3a.endpoint": endpoint,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.aws.credentials.provider": S3A_CREDENTIALS,
        }
        endpoints = {"glue.endpoint": endpoint, "s3.endpoint": endpoint, "s3.path-style-access": "true"}
        for name in conf:
            if catalog := re.fullmatch(r"(spark\.sql\.catalog\.\w+)\.(catalog-impl|type)", name):
                added.update({f"{catalog[1]}.{key}": value for key, value in endpoints.items()})
        return {**added, **conf}

    def warm_up_order(self, archive: bool) -> dict[str, Any]:
        """What a worker in reserve is told first. ``archive``: end the JVM then, so that it writes one."""
        catalog = "spark.sql.catalog.glue_catalog"
        conf = {
            "spark.app.name": "warm-up",
            "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
            catalog: "org.apache.iceberg.spark.SparkCatalog",
            f"{catalog}.catalog-impl": "org.apache.iceberg.aws.glue.GlueCatalog",
            f"{catalog}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            f"{catalog}.warehouse": "s3://twin-warm-up/tables",
        }
        return {
            "kind": "warm-up",
            "archive": archive,
            "script": str(HERE / "warm_up.py"),
            "credentials": _root_of(WARM_UP_ACCOUNT),
            "conf": self.spark_conf(conf, self.context.state_dir / "glue" / "warm-up"),
        }


def prepare(context: Context) -> SparkMachine:
    """Find Java, make the trust store and the folder of importable packages. Takes about a second."""
    python = context.project_root / ".venv" / "bin" / "python"
    java = _java_properties()
    state = context.state_dir / "glue"
    state.mkdir(parents=True, exist_ok=True)
    options_hash = hashlib.sha256(f"{java['java.vm.version']}\n{class_path()}".encode()).hexdigest()[:16]
    return SparkMachine(
        context=context,
        python=python,
        site_packages=_link_packages(context.project_root, state / "site-packages"),
        trust_store=_make_trust_store(java["java.home"], context.ca_bundle, state),
        java_home=java["java.home"],
        archive=context.project_root / ".cache" / f"spark-{options_hash}.jsa",
        more_options=tuple(shlex.split(os.environ.get(OPTIONS_VARIABLE, ""))),
    )


def _java_properties() -> dict[str, str]:
    """The properties of the ``java`` on the path."""
    try:
        shown = subprocess.run(
            ["java", "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise MachineError("Glue jobs need Java 17 on the PATH.") from error
    return dict(re.findall(r"^\s+([\w.]+) = (.*)$", shown.stderr, re.MULTILINE))


def _link_packages(project_root: Path, target: Path) -> Path:
    """A folder of links to the few packages that Glue has too."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    site = spark_home(project_root).parent
    for name in PYTHON_PACKAGES:
        if not (site / name).exists():
            raise MachineError(f"The Python package {name} is missing in .venv: run `make setup`.")
        (target / name).symlink_to(site / name)
    (target / "awsglue").symlink_to(HERE / "site" / "awsglue")
    return target


def _make_trust_store(java_home: str, ca_bundle: Path, state: Path) -> Path:
    """Java's own certificates and the twin's."""
    digest = hashlib.sha256(ca_bundle.read_bytes()).hexdigest()[:16]
    store = state / f"trust-{digest}.jks"
    if store.exists():
        return store
    partial = state / f"trust-{digest}.partial"
    shutil.copyfile(Path(java_home, "lib", "security", "cacerts"), partial)
    command = [str(Path(java_home, "bin", "keytool")), "-importcert", "-noprompt", "-alias", "twin"]
    command += ["-file", str(ca_bundle), "-keystore", str(partial), "-storepass", TRUST_STORE_PASSWORD]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MachineError(f"Java's keytool does not take the twin's certificate: {done.stdout.strip()}")
    return partial.rename(store)


def _root_of(account: str) -> Credentials:
    """Root credentials of an account of the emulator, which takes an account's number for its root key."""
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "test")
    return {"AWS_ACCESS_KEY_ID": account, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": ""}
