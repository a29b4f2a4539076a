"""What the documents list is what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic.alias_generators import to_camel

from lakehouse.options import DatasetOptions
from lakehouse.words import CLAIMED, DELETED, FAILED, IGNORED, PENDING, PROMOTED, REJECTED, SUPERSEDED
from lakehouse_cli.main import app

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])


class _Tags(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, whose values do not matter here."""


_Tags.add_multi_constructor("!", lambda loader, suffix, node: None)


def template() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), _Tags)
    return loaded


def words_of(page: Path) -> set[str]:
    """Everything that stands in backticks, split where a list or a placeholder stands in one pair."""
    return {
        word
        for code in re.findall(r"`([^`\n]+)`", page.read_text())
        for word in [code, *re.split(r"[\s,\[\]|]+", code)]
    }


def commands() -> dict[str, Any]:
    """Every command by its full name."""
    group: Any = typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= {f"{name} {sub}": inner for sub, inner in command.commands.items()}
        else:
            found[name] = command
    return found


def test_every_command_and_option_is_documented() -> None:
    text = (DOCS / "cli.md").read_text()
    common = {"--stack", "--twin", "--json", "--timeout", "--help", "--dataset"}
    for name, command in commands().items():
        assert f"| `{name}" in text, name
        options = {
            option for parameter in command.params for option in parameter.opts if option.startswith("--")
        }
        for option in options - common:
            assert option in text, f"{name} {option}"


def test_every_json_document_is_described() -> None:
    described = re.findall(
        r"^\| `([a-z -]+?)(?: NAME| --wait)?` \| ", (DOCS / "cli.md").read_text(), re.MULTILINE
    )
    with_json = {
        name
        for name, command in commands().items()
        if any("--json" in parameter.opts for parameter in command.params)
    }
    assert with_json <= set(described)


def test_every_exit_code_is_documented() -> None:
    from lakehouse_cli import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")]
    text = (DOCS / "cli.md").read_text()
    for code in {kind.exit_code for kind in kinds} | {0, 130}:
        assert f"\n| {code} | " in text


def test_every_parameter_of_the_template_is_documented() -> None:
    assert set(template()["Parameters"]) <= words_of(DOCS / "deploying.md")


def test_every_state_machine_function_and_table_is_documented() -> None:
    text = "".join(page.read_text() for page in (DOCS / "architecture.md", DOCS / "ledger.md"))
    for path in [*(ROOT / "statemachines").glob("*.asl.yaml"), *(ROOT / "functions").glob("*/app.py")]:
        name = path.parent.name if path.name == "app.py" else path.name.partition(".")[0]
        assert name in text, name
    for table in ("ledger", "lineage"):
        assert table in text


def test_every_option_of_a_contract_is_documented() -> None:
    documented = words_of(DOCS / "contracts.md")
    for name in DatasetOptions.model_fields:
        assert to_camel(name) in documented, name


def test_every_state_is_documented() -> None:
    text = (DOCS / "ledger.md").read_text()
    for state in (PENDING, CLAIMED, PROMOTED, REJECTED, SUPERSEDED, DELETED, FAILED, IGNORED):
        assert f"| {state} | " in text


def test_every_model_of_the_sample_is_documented() -> None:
    assert {path.stem for path in (ROOT / "models").glob("*.sql")} <= words_of(DOCS / "models.md")


def test_every_decision_is_listed() -> None:
    text = (DOCS / "decisions" / "README.md").read_text()
    for page in (DOCS / "decisions").glob("20*.md"):
        title = page.read_text().splitlines()[0].removeprefix("# ")
        assert f"- {page.name[:10]} [{title}]({page.name})" in text


def test_every_make_target_explains_itself() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = {name for line in re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE) for name in line.split()}
    explained = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    assert phony - explained == {"installed"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target
