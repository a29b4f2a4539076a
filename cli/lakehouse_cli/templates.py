"""The project's templates as CloudFormation resolves them for one environment, without AWS.

Parameters come from samconfig.toml, conditions decide which resources there are, and nested templates are
followed. What is known only after a deployment (a resource's id or attribute) stays as ``${LogicalId}`` or
``${LogicalId.Attribute}``. Only the intrinsic functions named here are known; any other is an error, because
a value that was guessed would be a wrong price or a wrong name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from ipaddress import IPv4Network
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from lakehouse_cli.errors import TemplateError, UsageError

DEFAULT_ENVIRONMENT = "dev"
"""The environment that samconfig.toml calls ``default``, so that a bare ``sam deploy`` means it."""
ADMINISTRATOR = "DataLakeAdministratorArn"
PLACEHOLDER = re.compile(r"\$\{(!?)([^}]+)\}")
REFERENCE = re.compile(r"^\$\{(\w+)(?:\.([\w.]+))?\}$")
NESTED = {"AWS::Serverless::Application": "Location", "AWS::CloudFormation::Stack": "TemplateURL"}
STACK_SET = "AWS::CloudFormation::StackSet"
ZONES = ("a", "b", "c")
NO_VALUE = object()
"""What ``AWS::NoValue`` evaluates to: the property or list item is not there."""

Json = Any


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, which become the long ones."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> Json:
    if isinstance(node, yaml.ScalarNode):
        value: Json = node.value.split(".", 1) if suffix == "GetAtt" else node.value
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise TypeError(f"YAML has no node of kind {type(node).__name__}")
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


@cache
def _parsed(file: Path, _changed_ns: int) -> Mapping[str, Json]:
    """A file's content, parsed once for each state of it: the root template takes a fifth of a second."""
    body: Mapping[str, Json] = yaml.load(file.read_text(), Loader=_Loader)  # noqa: S506 - a SafeLoader with tags
    return body


@dataclass(frozen=True)
class Place:
    """The account and region a template is resolved for."""

    account: str = "123456789012"
    region: str = "us-east-1"

    @property
    def partition(self) -> str:
        """The region's partition."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"


@dataclass(frozen=True)
class Environment:
    """One environment of samconfig.toml: its stack's name and the parameters it is deployed with."""

    name: str
    stack: str
    parameters: Mapping[str, str]

    @property
    def config_env(self) -> str:
        """The name for the SAM CLI's ``--config-env``."""
        return "default" if self.name == DEFAULT_ENVIRONMENT else self.name

    def governed_by(self, administrator: str | None) -> Environment:
        """The environment with who deploys it as the data lake's administrator, unless it names one, or
        nobody.
        """
        if administrator is None or ADMINISTRATOR in self.parameters:
            return self
        return replace(self, parameters={**self.parameters, ADMINISTRATOR: administrator})


def read_environment(root: Path, name: str) -> Environment:
    """An environment of a project folder's samconfig.toml. Raises ``UsageError`` if it is not there."""
    tables = tomllib.loads((root / "samconfig.toml").read_text())
    table = tables.get("default" if name == DEFAULT_ENVIRONMENT else name)
    if not table or "deploy" not in table:
        raise UsageError(f"samconfig.toml has no environment {name!r}.")
    deploy = table["deploy"]["parameters"]
    pairs = (pair.partition("=") for pair in deploy.get("parameter_overrides", ()))
    return Environment(name, deploy["stack_name"], {key: value for key, _, value in pairs})


@dataclass(frozen=True)
class Resource:
    """One resource that the environment has."""

    path: str
    """Logical ids from the root template down, ``Storage/BronzeBucket``."""
    name: str
    type: str
    body: Mapping[str, Json]
    template: Template

    def get(self, name: str, default: Json = None) -> Json:
        """A property's value; SAM's Globals count for functions."""
        raw = self.body.get("Properties", {}).get(name, NO_VALUE)
        if raw is NO_VALUE:
            raw = self.template.globals_of(self.type).get(name, NO_VALUE)
        value = self.template.evaluate(raw)
        return default if value is NO_VALUE else value

    def target(self, reference: str) -> Resource | None:
        """The resource of the same template that ``${LogicalId}`` or ``${LogicalId.Arn}`` stands for."""
        found = REFERENCE.match(reference)
        return self.template.resource(found[1]) if found else None


@dataclass(frozen=True)
class Template:
    """A template file with the values of its parameters."""

    file: Path
    body: Mapping[str, Json]
    parameters: Mapping[str, str]
    place: Place
    path: str = ""

    @classmethod
    def read(cls, file: Path, given: Mapping[str, Json], place: Place, path: str = "") -> Template:
        """Load a template. Raises ``TemplateError`` for a parameter too few or too many."""
        if not file.is_file():
            raise TemplateError(f"There is no template {file}.")
        body = _parsed(file, file.stat().st_mtime_ns)
        declared = body.get("Parameters", {})
        if unknown := sorted(set(given) - set(declared)):
            raise TemplateError(f"{file.name} has no parameter {', '.join(unknown)}.")
        values = {name: given.get(name, spec.get("Default")) for name, spec in declared.items()}
        if missing := sorted(name for name, value in values.items() if value is None):
            raise TemplateError(f"{file.name} needs a value for {', '.join(missing)}.")
        return cls(file, body, {name: text_of(value) for name, value in values.items()}, place, path)

    def resources(self) -> Iterator[Resource]:
        """Every resource whose condition holds, those of nested templates after the one that nests them."""
        for name in self.body["Resources"]:
            found = self.resource(name)
            if found is not None:
                yield found
                for nested in self._nested(found):
                    yield from nested.resources()

    def resource(self, name: str) -> Resource | None:
        """One resource of this file, None if it is not there or its condition does not hold."""
        body = self.body["Resources"].get(name)
        if body is None or not ("Condition" not in body or self.condition(body["Condition"])):
            return None
        return Resource(f"{self.path}{name}", name, body["Type"], body, self)

    def condition(self, name: str) -> bool:
        """Whether a named condition holds."""
        try:
            return self._holds(self.body["Conditions"][name])
        except KeyError:
            raise TemplateError(f"{self.file.name} has no condition {name}.") from None

    def globals_of(self, resource_type: str) -> Mapping[str, Json]:
        """SAM's Globals for a resource type."""
        if resource_type != "AWS::Serverless::Function":
            return {}
        found: Mapping[str, Json] = self.body.get("Globals", {}).get("Function", {})
        return found

    def evaluate(self, value: Json) -> Json:
        """A value with every intrinsic function replaced by its result."""
        if isinstance(value, list):
            return [item for item in map(self.evaluate, value) if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._call(name, argument)
        evaluated = {key: self.evaluate(inner) for key, inner in value.items()}
        return {key: inner for key, inner in evaluated.items() if inner is not NO_VALUE}

    # --- intrinsic functions -----------------------------------------------------------------

    @cached_property
    def _functions(self) -> dict[str, Callable[[Json], Json]]:
        return {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
            "Fn::Join": lambda given: text_of(given[0]).join(map(text_of, self.evaluate(given[1]))),
            "Fn::Split": lambda given: text_of(self.evaluate(given[1])).split(given[0]),
            "Fn::Select": lambda given: self.evaluate(given[1])[int(self.evaluate(given[0]))],
            "Fn::FindInMap": self._find_in_map,
            "Fn::GetAZs": lambda _: [f"{self.place.region}{zone}" for zone in ZONES],
            "Fn::Cidr": self._cidr,
        }

    def _call(self, name: str, argument: Json) -> Json:
        function = self._functions.get(name)
        if function is None:
            raise TemplateError(
                f"{self.file.name} uses {name}, which cli/lakehouse_cli/templates.py does not know."
            )
        return function(argument)

    def _ref(self, name: str) -> Json:
        if name in self.parameters:
            value = self.parameters[name]
            declared = str(self.body["Parameters"][name]["Type"])
            is_list = declared.startswith(("List<", "CommaDelimitedList"))
            return [item.strip() for item in value.split(",") if item.strip()] if is_list else value
        if name.startswith("AWS::"):
            return self._pseudo(name)
        return self._placeholder(name, "")

    def _pseudo(self, name: str) -> Json:
        known = {
            "AWS::NoValue": NO_VALUE,
            "AWS::AccountId": self.place.account,
            "AWS::Region": self.place.region,
            "AWS::Partition": self.place.partition,
            "AWS::URLSuffix": "amazonaws.com.cn" if self.place.partition == "aws-cn" else "amazonaws.com",
        }
        # The stack's own name and id are known only to the deployment.
        return known.get(name, f"${{{name}}}")

    def _placeholder(self, name: str, attribute: str) -> str:
        """What a resource is or has once it is deployed. SAM makes more of one (``Function.Version``)."""
        if name.split(".", 1)[0] not in self.body["Resources"]:
            raise TemplateError(f"{self.file.name} refers to {name}, which is nothing of its own.")
        return f"${{{name}.{attribute}}}" if attribute else f"${{{name}}}"

    def _get_att(self, given: Json) -> str:
        name, attribute = given if isinstance(given, list) else given.split(".", 1)
        return self._placeholder(name, text_of(self.evaluate(attribute)))

    def _sub(self, given: Json) -> str:
        pattern, own = given if isinstance(given, list) else (given, {})
        values = self.evaluate(own)

        def fill(found: re.Match[str]) -> str:
            literal, name = found.groups()
            if literal:
                return f"${{{name}}}"
            if name in values:
                return text_of(values[name])
            if "." in name and name not in self.parameters:
                return self._get_att(name)
            return text_of(self._ref(name))

        return PLACEHOLDER.sub(fill, pattern)

    def _if(self, given: Json) -> Json:
        name, yes, no = given
        return self.evaluate(yes if self.condition(name) else no)

    def _find_in_map(self, given: Json) -> Json:
        name, first, second = (self.evaluate(part) for part in given)
        try:
            return self.evaluate(self.body["Mappings"][name][text_of(first)][text_of(second)])
        except KeyError:
            raise TemplateError(f"{self.file.name} has no {first}.{second} in its mapping {name}.") from None

    def _cidr(self, given: Json) -> list[str]:
        block, count, host_bits = (text_of(self.evaluate(part)) for part in given)
        network = IPv4Network(block)
        parts = network.subnets(new_prefix=network.max_prefixlen - int(host_bits))
        return [str(part) for part in islice(parts, int(count))]

    # --- conditions --------------------------------------------------------------------------

    def _holds(self, rule: Json) -> bool:
        [(name, argument)] = rule.items()
        if name == "Condition":
            return self.condition(argument)
        if name == "Fn::Equals":
            return self._equal(*(text_of(self.evaluate(part)) for part in argument))
        if name == "Fn::Not":
            return not self._holds(argument[0])
        if name in {"Fn::And", "Fn::Or"}:
            return (all if name == "Fn::And" else any)([self._holds(part) for part in argument])
        raise TemplateError(
            f"{self.file.name} has a condition with {name}, which templates.py does not know."
        )

    def _equal(self, left: str, right: str) -> bool:
        """Compare two texts. What only a deployment knows is not empty; more cannot be told of it."""
        if left and right and left != right and "${" in left + right:
            raise TemplateError(f"{self.file.name} compares {left} with {right}: only a deployment knows.")
        return left == right

    # --- nested templates --------------------------------------------------------------------

    def _nested(self, resource: Resource) -> Iterator[Template]:
        if resource.type in NESTED:
            place, file = self.place, resource.get(NESTED[resource.type])
            yield self._read_nested(resource, file, resource.get("Parameters", {}), place)
        elif resource.type == STACK_SET:
            given = {p["ParameterKey"]: p["ParameterValue"] for p in resource.get("Parameters", [])}
            for region in _regions(resource):
                place = replace(self.place, region=region)
                yield self._read_nested(resource, resource.get("TemplateURL"), given, place, f"@{region}")

    def _read_nested(
        self, resource: Resource, file: Json, given: Mapping[str, Json], place: Place, suffix: str = ""
    ) -> Template:
        if not isinstance(file, str) or "://" in file:
            raise TemplateError(f"{resource.path} nests a template that is no file of this project.")
        return Template.read(self.file.parent / file, given, place, f"{resource.path}{suffix}/")


def _regions(stack_set: Resource) -> Iterator[str]:
    """The region of every instance, once for each account it has there."""
    for group in stack_set.get("StackInstancesGroup", []):
        for _account in group["DeploymentTargets"]["Accounts"]:
            yield from group["Regions"]


def text_of(value: Json) -> str:
    """A value as CloudFormation compares and joins it; a list's items stand between commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(text_of, value)) if isinstance(value, list) else str(value)


def read_template(root: Path, environment: Environment, place: Place) -> Template:
    """The project's root template as one environment deploys it."""
    return Template.read(root / "template.yaml", environment.parameters, place)
