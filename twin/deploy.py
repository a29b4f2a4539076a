"""Builds and deploys the project's template to the running twin, with the SAM CLI."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.exceptions import ClientError

from twin.admin import ADMIN_USER
from twin.errors import DeployError
from twin.settings import PROFILE, Settings

JsonObject = dict[str, Any]
DEFAULT_ENVIRONMENT = "dev"
"""The environment that ``samconfig.toml`` calls ``default``, so that a bare ``sam deploy`` means it."""
POLL_DELAY_SECONDS = 1
"""How often the SAM CLI looks at the stack; its default of five is meant for AWS."""
ADMINISTRATOR = "DataLakeAdministratorArn"
CAPABILITIES = ("CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
QUICK_PARAMETERS = {"CrawlPollSeconds": 1, "SweepMinutes": 1}
DEPLOYMENTS = ("CREATE", "UPDATE")
OPERATIONS = (*DEPLOYMENTS, "DELETE")
TAIL_LINES = 30
"""How much of what the SAM CLI said is shown when it fails for no resource's reason."""


@dataclass(frozen=True)
class Target:
    """One running twin and how to speak to it."""

    settings: Settings
    endpoint: JsonObject

    @classmethod
    def find(cls, settings: Settings) -> Target:
        """The twin of a project folder. Raises ``DeployError`` when none runs."""
        if not settings.endpoint_file.exists():
            raise DeployError(
                "No twin is running here: start one with `lakehouse twin up` (or python -m twin serve)."
            )
        return cls(settings, json.loads(settings.endpoint_file.read_text()))

    @property
    def artifact_bucket(self) -> str:
        """Where the SAM CLI puts what it packages."""
        return f"sam-artifacts-{self.endpoint['account']}-{self.endpoint['region']}"

    def environment(self) -> dict[str, str]:
        """The current environment with the twin's profile in place of any other AWS setting."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and k != "PYTHONPATH"}
        return {
            **kept,
            # The functions' interpreter must be on PATH for `sam build`.
            "PATH": os.pathsep.join([str(self.settings.project_root / ".venv" / "bin"), kept["PATH"]]),
            "AWS_PROFILE": PROFILE,
            "AWS_CONFIG_FILE": self.endpoint["config_file"],
            "AWS_SHARED_CREDENTIALS_FILE": self.endpoint["credentials_file"],
            "AWS_CA_BUNDLE": self.endpoint["ca_bundle"],
            "SAM_CLI_POLL_DELAY": str(POLL_DELAY_SECONDS),
            "SAM_CLI_TELEMETRY": "0",
            "LAYER_PYTHON": python_version(self.settings),
            "LAYER_PLATFORM": platform.machine(),
        }

    def client(self, service: str) -> Any:
        """A boto3 client as the twin's administrator."""
        session: Any = boto3.session.Session()  # its stubs know a client only by a literal name
        return session.client(
            service,
            endpoint_url=self.endpoint["endpoint"],
            region_name=self.endpoint["region"],
            verify=self.endpoint["ca_bundle"],
            aws_access_key_id=self.endpoint["access_key"],
            aws_secret_access_key=self.endpoint["secret_key"],
        )


def deploy(
    settings: Settings, environment: str = "dev", template: str = "template.yaml", extra: Sequence[str] = ()
) -> dict[str, str]:
    """Build and deploy one environment; returns the stack's outputs. ``extra``: more ``Key=Value``s.

    Raises ``DeployError`` when a step fails; the reasons are on standard output by then.
    """
    target = Target.find(settings)
    configured = configuration(settings, environment)
    began = time.monotonic()
    stack = configured["stack_name"]
    parameters = [*configured["parameter_overrides"], *extra]
    tags, on_failure = configured.get("tags", ()), configured.get("on_failure", "ROLLBACK")
    outputs = deploy_stack(target, stack, template, parameters, tags, on_failure)
    sys.stdout.write(f"twin: {stack} is deployed ({time.monotonic() - began:.0f} s)\n")
    return outputs


def deploy_stack(
    target: Target,
    stack: str,
    template: str,
    parameters: Sequence[str] = (),
    tags: Sequence[str] = (),
    on_failure: str = "ROLLBACK",
) -> dict[str, str]:
    """Build a template (a path below the project) and deploy it under a name; returns the outputs.

    ``on_failure``: what becomes of a stack whose first deployment failed, in the SAM CLI's words.
    """
    built = build(target, template, stack)
    target.client("s3").create_bucket(Bucket=target.artifact_bucket)
    account = target.endpoint["account"]
    given = [*runtime_parameters(target.settings), *quick_parameters(built, account), *parameters]
    where = ["--template-file", str(built), "--stack-name", stack]
    artifacts = ["--s3-bucket", target.artifact_bucket, "--s3-prefix", stack]
    manner = ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
    manner += ["--on-failure", on_failure]
    tagged = ["--tags", *tags] if tags else []
    arguments = ["--capabilities", *CAPABILITIES, *tagged, "--parameter-overrides", *given]
    _sam(target, "deploy", [*where, *artifacts, *manner, *arguments], stack)
    return stack_outputs(target, stack)


def delete(settings: Settings, environment: str = "dev") -> None:
    """Delete an environment's stack."""
    delete_stack(Target.find(settings), configuration(settings, environment)["stack_name"])


def delete_stack(target: Target, stack: str) -> None:
    """Delete a stack with the SAM CLI, which also removes what it packaged."""
    arguments = ["--stack-name", stack, "--no-prompts", "--region", target.endpoint["region"]]
    _sam(target, "delete", arguments, stack)


def build(target: Target, template: str, stack: str) -> Path:
    """Run ``sam build``, whose layer has a cache of its own, for a stack; returns the built template."""
    folder = target.settings.build_dir(stack)
    parameters = runtime_parameters(target.settings)
    arguments = ["--template", template, "--build-dir", str(folder), "--parameter-overrides", *parameters]
    _sam(target, "build", [*arguments, "--parallel"])
    return folder / "template.yaml"


def configuration(settings: Settings, environment: str) -> JsonObject:
    """Parameters of ``sam deploy`` for an environment, from ``samconfig.toml``."""
    file = settings.project_root / "samconfig.toml"
    tables = tomllib.loads(file.read_text()) if file.exists() else {}
    table = tables.get("default" if environment == DEFAULT_ENVIRONMENT else environment)
    if not table:
        raise DeployError(f"samconfig.toml has no environment {environment!r}.")
    parameters: JsonObject = table["deploy"]["parameters"]
    return parameters


def runtime_parameters(settings: Settings) -> list[str]:
    """The template's runtime and processor for this machine."""
    architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    return [f"LambdaRuntime=python{python_version(settings)}", f"LambdaArchitecture={architecture}"]


def quick_parameters(template: Path, account: str) -> list[str]:
    """What the twin sets where a template has such a parameter.

    Waits that are set for AWS's pace and prices are shortened; who deploys administers the data lake.
    """
    declared = yaml.safe_load(template.read_text()).get("Parameters", {})
    wanted = {**QUICK_PARAMETERS, ADMINISTRATOR: f"arn:aws:iam::{account}:user/{ADMIN_USER}"}
    return [f"{name}={value}" for name, value in wanted.items() if name in declared]


def python_version(settings: Settings) -> str:
    """Major and minor version of the interpreter that runs the functions."""
    command = [str(settings.project_python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def stack_outputs(target: Target, stack: str) -> dict[str, str]:
    """The outputs of a deployed stack."""
    [described] = target.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}


def failures(target: Target, stack: str, operations: Sequence[str] = OPERATIONS) -> list[str]:
    """What failed since the latest of the operations began on a stack, a sentence for each resource.

    Without ``DELETE`` among them, the deletion of a stack whose creation failed is looked past.
    """
    cloudformation = target.client("cloudformation")
    pages = cloudformation.get_paginator("describe_stack_events")
    try:
        told = pages.paginate(StackName=_stack_id(cloudformation, stack))
        events = [event for page in told for event in page["StackEvents"]]
    except ClientError as error:
        return [str(error)]
    found = []
    for event in events:  # newest first
        began = event["ResourceStatus"] in {f"{operation}_IN_PROGRESS" for operation in operations}
        if began and event["PhysicalResourceId"] == event["StackId"]:
            break
        if event["ResourceStatus"].endswith("_FAILED"):
            found.append(
                f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
            )
    return found[::-1]


def _stack_id(cloudformation: Any, stack: str) -> str:
    """The id of the latest stack of a name: one that is deleted answers to its id alone."""
    pages = cloudformation.get_paginator("list_stacks").paginate()
    named = [s for page in pages for s in page["StackSummaries"] if s["StackName"] == stack]
    return str(max(named, key=lambda s: s["CreationTime"])["StackId"]) if named else stack


def _sam(target: Target, command: str, arguments: list[str], stack: str | None = None) -> None:
    """Run the SAM CLI; all it says goes to ``sam.log``, here is only that it runs, and why it failed."""
    sam = target.settings.project_root / ".tools" / "sam" / "bin" / "sam"
    if not sam.exists():
        raise DeployError("The SAM CLI is not installed. Run: make setup")
    log = target.settings.state_dir / "sam.log"
    sys.stdout.write(f"twin: sam {command} ...")
    sys.stdout.flush()
    began = time.monotonic()
    with log.open("ab") as out:
        start = out.tell()
        ended = subprocess.run(
            [str(sam), command, *arguments],
            cwd=target.settings.project_root,
            env=target.environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    sys.stdout.write(f" {time.monotonic() - began:.0f} s\n")
    if ended.returncode != 0:
        said = log.read_bytes()[start:].decode(errors="replace").strip().splitlines()
        reasons = (
            failures(target, stack, ("DELETE",) if command == "delete" else DEPLOYMENTS) if stack else []
        )
        for line in reasons or said[-TAIL_LINES:]:
            sys.stdout.write(f"  {line}\n")
        raise DeployError(f"`sam {command}` ended with code {ended.returncode}; all it said is in {log}.")
