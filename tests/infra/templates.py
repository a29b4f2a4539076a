"""The templates and state machines as data, with the lines they were written on."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SAM = ROOT / ".tools" / "sam" / "bin" / "sam"
CFN_LINT = ROOT / ".tools" / "sam" / "bin" / "cfn-lint"
TEMPLATES = [
    "template.yaml",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "infrastructure").glob("*.yaml")),
]
MACHINES = ["promote", "refresh", "maintain"]

Json = Any


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, which become the long ones."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> Json:
    if isinstance(node, yaml.ScalarNode):
        value: Json = node.value
        if suffix == "GetAtt":
            value = node.value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)


@dataclass(frozen=True)
class Resource:
    """One resource of one template."""

    template: str
    name: str
    type: str
    properties: dict[str, Json]
    body: dict[str, Json]

    def __str__(self) -> str:
        return f"{self.template}:{self.name}"


@cache
def template(path: str) -> dict[str, Json]:
    loaded: dict[str, Json] = yaml.load((ROOT / path).read_text(), Loader=_Loader)
    return loaded


def resources(*types: str) -> list[Resource]:
    """All resources, of the given types if any are named."""
    found = [
        Resource(path, name, body["Type"], body.get("Properties", {}), body)
        for path in TEMPLATES
        for name, body in template(path)["Resources"].items()
    ]
    return [r for r in found if not types or r.type in types]


def resource(name: str) -> Resource:
    [found] = [r for r in resources() if r.name == name]
    return found


def statements() -> Iterator[tuple[Resource, dict[str, Json]]]:
    """Every statement of every policy document, trust and resource policies included."""
    for each in resources():
        for document in _documents(each.properties):
            for statement in document["Statement"]:
                yield each, statement


def _documents(value: Json) -> Iterator[dict[str, Json]]:
    if isinstance(value, dict):
        if "Statement" in value:
            yield value
            return
        for inner in value.values():
            yield from _documents(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _documents(inner)


def listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def text(value: Json) -> str:
    """A name or ARN with its placeholders, whatever intrinsic it was written with."""
    if isinstance(value, dict):
        [(kind, inner)] = value.items()
        if kind == "Fn::Sub":
            return str(inner[0] if isinstance(inner, list) else inner)
        if kind == "Fn::GetAtt":
            return "${" + ".".join(inner) + "}"
        return f"${{{inner}}}" if kind == "Ref" else f"{kind}"
    return str(value)


@cache
def machine_text(name: str) -> str:
    return (ROOT / "statemachines" / f"{name}.asl.yaml").read_text()


def substitutions(name: str) -> dict[str, Json]:
    filled: dict[str, Json] = resource(f"{name.capitalize()}StateMachine").properties[
        "DefinitionSubstitutions"
    ]
    return filled


def placeholders(name: str) -> set[str]:
    return set(re.findall(r"\$\{(\w+)\}", machine_text(name)))


@cache
def machine(name: str) -> dict[str, Json]:
    """A state machine's definition as CloudFormation would make it, with plausible values put in."""
    filled = re.sub(r"\$\{(\w+)\}", lambda found: _plausible(found[1]), machine_text(name))
    definition: dict[str, Json] = yaml.safe_load(filled)
    return definition


def _plausible(placeholder: str) -> str:
    account = "us-east-1:123456789012"
    if placeholder.endswith("FunctionArn"):
        return f"arn:aws:lambda:{account}:function:lake-dev-{placeholder.removesuffix('FunctionArn').lower()}"
    known = {
        "Partition": "aws",
        "Region": "us-east-1",
        "ConsoleUrl": "https://us-east-1.console.example",
        "FailureTopicArn": f"arn:aws:sns:{account}:lake-dev-failures",
        "CrawlPollSeconds": "30",
        "CrawlMaxPolls": "240",
        "WorkerType": "G.1X",
    }
    return known.get(placeholder, placeholder.lower())


def run_tool(
    tool: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a tool of the SAM environment. A missing one is a failure, never a skip."""
    assert tool.exists(), f"{tool.relative_to(ROOT)} is missing: run make setup"
    clean = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(Path.home()),
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return subprocess.run(
        [str(tool), *arguments],
        cwd=ROOT,
        env=clean | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
