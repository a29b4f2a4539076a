"""What `sam local invoke` needs, so that a function in a container reaches the twin outside of it.

The SAM CLI sets no variable in a container that the template does not declare, and mounts nothing but a
function's code and layers. So beside the built template another one is written, which declares the way to the
twin and has one more layer, with the certificate to trust; and a file with every function's variables.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from twin import certificate
from twin.deploy import Target, configuration, runtime_parameters
from twin.errors import DeployError
from twin.settings import CONTAINERS_NAME, Settings

JsonObject = dict[str, Any]
TEMPLATE_FILE, VARIABLES_FILE, LAYER_FOLDER = "container.yaml", "container.json", "TwinTrust"
LAYER = "TwinTrust"
CA_FILE = "twin-ca.pem"
CA_IN_CONTAINER = f"/opt/{CA_FILE}"


def write(settings: Settings, environment: str, host: str) -> list[str]:
    """Write the files into the build's folder; returns the shell line that invokes a function with them.

    ``host``: how a container names this machine. Raises ``DeployError`` if the twin's certificate does not
    cover that name, or if nothing is deployed.
    """
    target = Target.find(settings)
    if not certificate.covers(settings.ca_bundle, host):
        raise DeployError(f"The twin's certificate does not cover {host}: start the twin with --host {host}.")
    stack = configuration(settings, environment)["stack_name"]
    folder = settings.build_dir(stack)
    built = folder / "template.yaml"
    if not built.exists():
        raise DeployError("Nothing is built here: run `lakehouse twin deploy` first.")
    way = variables(target, host)
    functions = dict(_functions(target, stack))
    values = {name: {**own, **way} for name, own in functions.items()}
    (folder / VARIABLES_FILE).write_text(json.dumps(values, indent=2) + "\n")
    template = with_way_to_twin(yaml.safe_load(built.read_text()), way, runtime_parameters(settings))
    (folder / TEMPLATE_FILE).write_text(yaml.safe_dump(template, sort_keys=False))
    (folder / LAYER_FOLDER).mkdir(exist_ok=True)
    shutil.copy(settings.ca_bundle, folder / LAYER_FOLDER / CA_FILE)
    return _command(settings, folder, host)


def variables(target: Target, host: str) -> dict[str, str]:
    """The variables by which an SDK in a container finds and trusts the twin."""
    port = urlsplit(target.endpoint["endpoint"]).port
    return {
        "AWS_ENDPOINT_URL": f"https://{host}:{port}",
        "AWS_CA_BUNDLE": CA_IN_CONTAINER,
        "SSL_CERT_FILE": CA_IN_CONTAINER,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def with_way_to_twin(template: JsonObject, way: Mapping[str, str], parameters: list[str]) -> JsonObject:
    """A built template whose functions declare the variables ``way`` and have the layer with the certificate.

    ``parameters``: ``Key=Value``s that the build was made with, which become the defaults.
    """
    for key, _, value in (parameter.partition("=") for parameter in parameters):
        template["Parameters"][key]["Default"] = value
    common = template["Globals"]["Function"]
    common["Environment"]["Variables"].update(way)
    common["Layers"].append({"Ref": LAYER})
    properties = {"LayerName": "twin-trust", "ContentUri": LAYER_FOLDER}
    template["Resources"][LAYER] = {"Type": "AWS::Serverless::LayerVersion", "Properties": properties}
    return template


def _functions(target: Target, stack: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Logical id and variables of every deployed function of a stack."""
    pages = target.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    client = target.client("lambda")
    for resource in (each for page in pages for each in page["StackResourceSummaries"]):
        if resource["ResourceType"] == "AWS::Lambda::Function":
            name = resource["PhysicalResourceId"]
            found = client.get_function_configuration(FunctionName=name)
            yield resource["LogicalResourceId"], found["Environment"]["Variables"]


def _command(settings: Settings, folder: Path, host: str) -> list[str]:
    here = (
        folder.relative_to(settings.project_root) if folder.is_relative_to(settings.project_root) else folder
    )
    words = [".tools/sam/bin/sam", "local", "invoke", "IntakeFunction"]
    words += ["--template", str(here / TEMPLATE_FILE), "--env-vars", str(here / VARIABLES_FILE)]
    # Docker on Linux does not know this name by itself.
    mapped = ["--add-host", f"{host}:host-gateway"] if host == CONTAINERS_NAME else []
    return [*words, *mapped, "--event", "events/intake.json"]
