"""`lakehouse twin container`: what a function in a container would be given. No container is run here."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.twin.conftest import ROOT, STATE_DIR, twin_command
from tests.twin.lake import ENVIRONMENT, STACK, TwinLake
from twin.settings import Settings

NAME = "host.docker.internal"
BUILD = Path(STATE_DIR) / "build" / STACK
# What the SAM CLI itself makes of the files, up to the point where it would ask for a container.
SAM_RESOLVES = """
import json, sys
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
stacks, _ = SamLocalStackProvider.get_stacks(sys.argv[1])
found = SamFunctionProvider(stacks).get(sys.argv[3])
runner = LocalLambdaRunner(None, None, ".", ".", env_vars_values=json.load(open(sys.argv[2])))
print(json.dumps({
    "variables": runner._make_env_vars(found).resolve(),
    "runtime": found.runtime,
    "code": found.codeuri,
    "layers": [layer.codeuri for layer in found.layers],
}))
"""


@pytest.fixture(scope="module")
def command(deployed: TwinLake) -> str:
    """What the command printed, its files written."""
    call = twin_command("container", "--environment", ENVIRONMENT)
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def resolved(deployed: TwinLake, function: str) -> dict[str, Any]:
    """How the SAM CLI reads template and variables for one function."""
    sam_python = ROOT / ".tools" / "sam" / "bin" / "python"
    files = [str(BUILD / name) for name in ("container.yaml", "container.json")]
    done = subprocess.run(
        [str(sam_python), "-W", "ignore", "-c", SAM_RESOLVES, *files, function],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **deployed.endpoint.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_it_prints_a_call_whose_files_are_there(command: str) -> None:
    words = command.split()
    assert words[:4] == [".tools/sam/bin/sam", "local", "invoke", "IntakeFunction"]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert options == {
        "--template": str(BUILD / "container.yaml"),
        "--env-vars": str(BUILD / "container.json"),
        "--add-host": f"{NAME}:host-gateway",
        "--event": "events/intake.json",
    }
    assert all((ROOT / options[name]).is_file() for name in ("--template", "--env-vars", "--event"))


def test_every_function_of_the_template_has_its_variables(command: str, deployed: TwinLake) -> None:
    template = yaml.safe_load((ROOT / BUILD / "container.yaml").read_text())
    values = json.loads((ROOT / BUILD / "container.json").read_text())
    functions = {
        name for name, body in template["Resources"].items() if body["Type"] == "AWS::Serverless::Function"
    }
    assert set(values) == functions
    bucket = deployed.cli.name("BronzeBucketName")
    assert {name: own["BRONZE_BUCKET"] for name, own in values.items()} == dict.fromkeys(functions, bucket)


def test_the_sam_cli_gives_a_function_the_way_to_the_twin(command: str, deployed: TwinLake) -> None:
    found = resolved(deployed, "IntakeFunction")
    port = urlsplit(deployed.endpoint.endpoint).port
    expected = {
        "AWS_ENDPOINT_URL": f"https://{NAME}:{port}",
        "AWS_CA_BUNDLE": "/opt/twin-ca.pem",
        "AWS_ACCESS_KEY_ID": deployed.endpoint.access_key,
        "AWS_REGION": deployed.endpoint.region,
        "LEDGER_TABLE": deployed.cli.name("LedgerTableName"),
    }
    assert {name: found["variables"][name] for name in expected} == expected
    assert (ROOT / BUILD / "IntakeFunction" / "app.py").is_file()
    layers = [ROOT / BUILD / Path(layer).name for layer in found["layers"]]
    assert (layers[0] / "python" / "lakehouse").is_dir()
    # What is in a layer is under /opt in the container.
    assert (layers[1] / "twin-ca.pem").read_text() == Path(deployed.endpoint.ca_bundle).read_text()


def test_the_certificate_is_good_for_the_name_a_container_uses(deployed: TwinLake) -> None:
    trust = ssl.create_default_context(cafile=deployed.endpoint.ca_bundle)
    port = urlsplit(deployed.endpoint.endpoint).port
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        trust.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        assert connection.version() in {"TLSv1.2", "TLSv1.3"}
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        trust.wrap_socket(plain, server_hostname="another.name")


def test_a_name_the_certificate_does_not_cover_is_refused(deployed: TwinLake) -> None:
    done = subprocess.run(
        twin_command("container", "--host", "192.0.2.7"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "does not cover 192.0.2.7: start the twin with --host 192.0.2.7" in done.stderr


@pytest.mark.parametrize(
    ("host", "binds"),
    [
        ("127.0.0.1", ["127.0.0.1:4566"]),
        ("0.0.0.0", ["0.0.0.0:4566"]),
        ("172.17.0.1", ["127.0.0.1:4566", "172.17.0.1:4566"]),
        ("fd00::1", ["127.0.0.1:4566", "[fd00::1]:4566"]),
    ],
)
def test_the_twin_always_listens_on_the_loopback(host: str, binds: list[str]) -> None:
    assert Settings(ROOT, host=host).binds == binds
