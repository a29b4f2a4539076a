"""Starts a Lambda execution environment: interpreter, the function's code, its layers, its role."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import threading
import time
import uuid
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twin.context import Context
from twin.errors import TwinError

WORKER = Path(__file__).with_name("worker.py")
RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3")
"""What AWS's Python runtime offers besides the standard library."""


@dataclass
class Environments:
    """Makes execution environments; code and layers are unpacked once per content."""

    context: Context
    python: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.root = self.context.state_dir / "tmp" / "functions"
        self.runtime = self.root / "runtime"
        self.runtime.mkdir(parents=True, exist_ok=True)
        [site_packages] = self.python.parents[1].glob("lib/python3.*/site-packages")
        for package in RUNTIME_PACKAGES:
            (self.runtime / package).symlink_to(site_packages / package)

    def spawn(self, worker: Any) -> None:
        """Stand in for ministack's ``Worker._spawn``: start the process and wait until it is ready."""
        from ministack.core.lambda_runtime import execution_credentials
        from ministack.services.lambda_svc import _resolve_layer_zip

        config = worker.config
        self.context.require_role(config["Role"], "lambda.amazonaws.com")
        code = self._unpacked(worker.code_zip)
        layers = [self._unpacked(_resolve_layer_zip(layer)) for layer in config.get("Layers", [])]
        module, _, handler = config["Handler"].rpartition(".")
        credentials = execution_credentials(config)
        worker._proc = subprocess.Popen(
            [str(self.python), "-I", "-S", str(WORKER)],
            cwd=code,
            env=self._variables(config, code, credentials),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.context.add_caller(credentials, worker._proc.kill)
        worker._stderr_thread = threading.Thread(target=worker._read_stderr, daemon=True)
        worker._stderr_thread.start()
        start = {
            "path": [str(code), *(path for layer in layers for path in _python_paths(layer))],
            "runtime_path": [str(self.runtime)],
            "module": module.replace("/", "."),
            "handler": handler,
        }
        worker._proc.stdin.write(json.dumps(start) + "\n")
        worker._proc.stdin.flush()
        if not worker._proc.stdout.readline():
            raise TwinError(
                f"The environment of function {config['FunctionName']} ended before it was ready."
            )
        worker._start_time = time.time()

    def _variables(self, config: dict[str, Any], code: Path, credentials: dict[str, str]) -> dict[str, str]:
        """The process environment: Lambda's reserved variables, the function's own, the way to the twin."""
        scratch, ca = str(self.context.state_dir / "tmp"), str(self.context.ca_bundle)
        name = config["FunctionName"]
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "HOME": scratch,
            "TMPDIR": scratch,
            "SSL_CERT_FILE": ca,
            "AWS_CA_BUNDLE": ca,
            "AWS_ENDPOINT_URL": self.context.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            **config.get("Environment", {}).get("Variables", {}),
            **credentials,
            "AWS_REGION": self.context.region,
            "AWS_DEFAULT_REGION": self.context.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": config.get("LoggingConfig", {}).get("LogGroup")
            or f"/aws/lambda/{name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": uuid.uuid4().hex,
            "LAMBDA_TASK_ROOT": str(code),
        }

    def _unpacked(self, archive: bytes | None) -> Path:
        """The folder of one archive's files, named by its content."""
        if not archive:
            raise TwinError("The archive of a function or layer is missing.")
        folder = self.root / hashlib.sha256(archive).hexdigest()[:32]
        with self._lock:
            if not folder.exists():
                part = folder.with_suffix(".part")
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                with zipfile.ZipFile(io.BytesIO(archive)) as files:
                    files.extractall(part)
                part.rename(folder)
        return folder


def _python_paths(layer: Path) -> list[str]:
    """Where Lambda looks in a layer, in its order."""
    found = [*(layer / "python").glob("lib/python3.*/site-packages"), layer / "python"]
    return [os.fspath(path) for path in found if path.is_dir()]
