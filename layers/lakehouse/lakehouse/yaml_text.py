"""YAML as people write it by hand, read without surprises: no dates from text, no key twice."""

from __future__ import annotations

from typing import Any

import yaml

from .problems import Problems

try:  # libyaml reads a contract in a tenth of the time
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # a PyYAML that was built without it
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]


class _StrictLoader(_SafeLoader):
    """SafeLoader that leaves dates as text and refuses a key that stands twice in one mapping."""


_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
}


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{key.value}' stands twice", key.start_mark
            )
        seen.add(getattr(key, "value", "") if isinstance(key, yaml.ScalarNode) else "")
    return yaml.constructor.SafeConstructor.construct_mapping(loader, node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_mapping(text: str, problems: Problems, path: str = "") -> dict[str, Any] | None:
    """The mapping that ``text`` holds, or None after noting what is wrong with it."""
    try:
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else path
        what = getattr(error, "problem", None) or "not YAML"
        problems.add(where, f"cannot be read as YAML ({what})", "Mend the indentation or quote the text")
        return None
    if not isinstance(data, dict):
        problems.add(path, "is no mapping of names to values", "Begin with lines like 'name: value'")
        return None
    return data
