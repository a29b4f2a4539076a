"""The grants file: what it makes of contracts and models, and every refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lakehouse.assets import compile_definitions
from lakehouse.contracts import compile_contracts
from lakehouse.errors import DefinitionError
from lakehouse.governance import compile_governance, read_access, read_grants, strictest
from lakehouse.models import compile_models
from lakehouse.words import QUARANTINE_COLUMNS, GovernancePlan

from . import sample_lake

CONTRACT = """apiVersion: v3.2.0
kind: DataContract
id: people
name: People
version: 1.0.0
status: active
domain: hr
schema:
  - name: people
    customProperties:
      - {property: format, value: jsonl}
    properties:
      - {name: id, logicalType: integer}
      - {name: team, logicalType: string, classification: internal}
      - {name: salary, logicalType: number, classification: restricted}
"""
GRANTS = """classifications: [public, internal, restricted]
default: public
domains: [hr, sales]
"""
MODEL = """/*
description: d
keys: [team]
%s*/
SELECT p.team, MAX(p.salary) AS top, COUNT(*) AS people FROM silver.people AS p
WHERE p.salary > 0 GROUP BY p.team
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for folder in ("contracts", "models", "governance"):
        (tmp_path / folder).mkdir()
    (tmp_path / "contracts/people.yaml").write_text(CONTRACT)
    (tmp_path / "models/teams.sql").write_text(MODEL % "")
    (tmp_path / "governance/grants.yaml").write_text(GRANTS)
    return tmp_path


def compiled(sources: Path) -> GovernancePlan:
    plans = compile_contracts(sources / "contracts")
    return compile_governance(sources, plans, compile_models(sources / "models", plans))


def with_grants(sources: Path, text: str) -> GovernancePlan:
    (sources / "governance/grants.yaml").write_text(GRANTS + text)
    return compiled(sources)


def problems_of(sources: Path, text: str = "") -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as wrong:
        with_grants(sources, text)
    return wrong.value.problems


# --- What it makes of tables --------------------------------------------------------------------


def test_a_contract_opens_its_columns_one_by_one(sources: Path) -> None:
    assert compiled(sources)["tables"]["silver.people"] == {
        "domain": "hr",
        "columns": {
            "id": "public",
            "team": "internal",
            "salary": "restricted",
            "_source_version_id": "public",
            "_source_row": "public",
            "_row_hash": "restricted",
            "_run_id": "public",
            "_ingested_at": "public",
            "_rescued": "restricted",
        },
        "closed": True,
    }


def test_quarantine_has_the_contracts_highest_classification(sources: Path) -> None:
    assert compiled(sources)["tables"]["silver.people__quarantine"] == {
        "domain": "hr",
        "columns": dict.fromkeys(QUARANTINE_COLUMNS, "restricted"),
        "closed": True,
    }


def test_a_models_column_is_as_closed_as_what_its_values_are_made_of(sources: Path) -> None:
    """The filter on the salary decides about rows only; a count is made of no column."""
    assert compiled(sources)["tables"]["gold.teams"] == {
        "domain": "hr",
        "columns": {"team": "internal", "top": "restricted", "people": "public"},
        "closed": True,
    }


def test_a_model_says_why_a_column_shows_nothing(sources: Path) -> None:
    header = "declassified: {top: Nobody is named by a maximum., team: Teams are public.}\ndomain: sales\n"
    (sources / "models/teams.sql").write_text(MODEL % header)
    assert compiled(sources)["tables"]["gold.teams"] == {
        "domain": "sales",
        "columns": {"team": "public", "top": "public", "people": "public"},
        "closed": False,
    }


def test_a_model_over_a_model_inherits_what_that_one_declares(sources: Path) -> None:
    (sources / "models/best.sql").write_text(
        "/*\ndescription: d\nkeys: [best]\n*/\nSELECT MAX(t.top) AS best FROM gold.teams AS t\n"
    )
    assert compiled(sources)["tables"]["gold.best"]["columns"] == {"best": "restricted"}


def test_declassifying_changes_no_row_and_so_no_hash(sources: Path) -> None:
    plans = compile_contracts(sources / "contracts")
    before = compile_models(sources / "models", plans)["teams"]["hash"]
    (sources / "models/teams.sql").write_text(MODEL % "declassified: {top: A maximum.}\n")
    assert compile_models(sources / "models", plans)["teams"]["hash"] == before


def test_without_a_grants_file_nothing_is_opened_that_no_contract_names(sources: Path) -> None:
    (sources / "governance/grants.yaml").unlink()
    table = compiled(sources)["tables"]["silver.people"]
    assert (table["columns"]["id"], table["columns"]["team"]) == ("restricted", "internal")
    assert table["domain"] is None


def test_the_strictest_of_nothing_is_the_strictest_there_is() -> None:
    known = ["public", "internal", "restricted"]
    assert strictest([], known) == "restricted"
    assert strictest(["public", "internal", "public"], known) == "internal"


# --- Row filters --------------------------------------------------------------------------------

FILTER = "rowFilters: [{name: own, role: lead, table: gold.teams, rows: %s}]\n"


@pytest.mark.parametrize(
    "rows",
    [
        "team = 'a'",
        "(team = 'a' AND people >= 10) OR NOT people <> 3",
        "team IN ('a', 'b') AND people BETWEEN 1 AND 9",
        "team LIKE 'a%' OR team IS NOT NULL",
        "top > -1.5",
    ],
)
def test_a_row_filter_compares_columns_with_constants(sources: Path, rows: str) -> None:
    plan = with_grants(sources, FILTER % json.dumps(rows))
    assert plan["row_filters"] == [
        {"name": "own", "role": "lead", "table": "gold.teams", "rows": rows, "columns": None}
    ]


def test_a_filtered_table_lies_under_the_closed_location(sources: Path) -> None:
    (sources / "models/teams.sql").write_text(MODEL % "declassified: {top: A maximum., team: Known.}\n")
    assert compiled(sources)["tables"]["gold.teams"]["closed"] is False
    assert with_grants(sources, FILTER % '"people > 1"')["tables"]["gold.teams"]["closed"] is True


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            FILTER % "\"upper(team) = 'A'\"",
            (
                "governance/grants.yaml: rowFilters[own].rows: is more than Lake Formation takes. Compare columns with "
                "constants by = < > <= >= <> BETWEEN IN LIKE IS NULL, joined by AND, OR, NOT."
            ),
        ),
        (
            FILTER % '"team = top"',
            (
                "governance/grants.yaml: rowFilters[own].rows: is more than Lake Formation takes. Compare columns with "
                "constants by = < > <= >= <> BETWEEN IN LIKE IS NULL, joined by AND, OR, NOT."
            ),
        ),
        (
            FILTER % '"team IN (SELECT 1)"',
            (
                "governance/grants.yaml: rowFilters[own].rows: is more than Lake Formation takes. Compare columns with "
                "constants by = < > <= >= <> BETWEEN IN LIKE IS NULL, joined by AND, OR, NOT."
            ),
        ),
        (
            FILTER % "\"teem = 'a'\"",
            "governance/grants.yaml: rowFilters[own]: 'teem' is no column of gold.teams. Did you mean 'team'.",
        ),
        (
            "rowFilters: [{name: own, role: lead, table: gold.teems, rows: people > 1}]\n",
            "governance/grants.yaml: rowFilters[own].table: there is no table 'gold.teems'. Did you mean 'gold.teams'.",
        ),
        (
            "rowFilters: [{name: own, role: lead, table: gold.teams, rows: people > 1, columns: [salary]}]\n",
            (
                "governance/grants.yaml: rowFilters[own]: 'salary' is no column of gold.teams. "
                "Use one of: people, team, top."
            ),
        ),
        (
            "grants: [{role: lead, layers: [gold], classifications: [internal]}]\n" + FILTER % '"people > 1"',
            (
                "governance/grants.yaml: rowFilters[own]: 'lead' may select gold.teams by its tags (internal). "
                "Grants add up, so it would see all rows: take one of the two away."
            ),
        ),
        (
            "grants: [{role: a, layers: [gold], classifications: [secret]}]\n",
            (
                "governance/grants.yaml: grants[0].classifications: 'secret' is no classification. "
                "Use one of: internal, public, restricted."
            ),
        ),
        (
            "grants: [{role: a, layers: [gold], classifications: [public], domains: [hrr]}]\n",
            "governance/grants.yaml: grants[0].domains: 'hrr' is no domain. Did you mean 'hr'.",
        ),
        (
            "grants: [{role: a, layers: [platinum], classifications: [public]}]\n",
            "governance/grants.yaml: grants.0.layers.0: input should be 'bronze', 'silver' or 'gold'.",
        ),
        ("grant: []\n", "governance/grants.yaml: grant: extra inputs are not permitted."),
        ("}", "governance/grants.yaml: line 4, column 1: cannot be read as YAML"),
    ],
)
def test_what_is_refused(sources: Path, text: str, problem: str) -> None:
    (found,) = problems_of(sources, text)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "grant",
    [
        "{role: lead, layers: [silver], classifications: [internal]}",
        "{role: lead, layers: [gold], classifications: [internal], domains: [sales]}",
        "{role: lead, layers: [gold], classifications: [internal], permission: describe}",
        "{role: other, layers: [gold], classifications: [internal]}",
    ],
)
def test_a_grant_that_does_not_reach_the_table_stands_beside_a_row_filter(sources: Path, grant: str) -> None:
    with_grants(sources, f"grants: [{grant}]\n" + FILTER % '"people > 1"')


def test_two_filters_of_one_name(sources: Path) -> None:
    each = "{name: own, role: %s, table: gold.teams, rows: people > 1}"
    (found,) = problems_of(sources, f"rowFilters: [{each % 'a'}, {each % 'b'}]\n")
    assert (
        found == "governance/grants.yaml: rowFilters[own]: stands twice for gold.teams. Rename one of them."
    )


def test_a_classification_and_a_domain_nobody_knows_are_refused_at_the_contract(sources: Path) -> None:
    text = CONTRACT.replace("classification: internal", "classification: secret").replace("hr", "hrr")
    (sources / "contracts/people.yaml").write_text(text)
    assert problems_of(sources) == (
        "contracts/people.yaml: its domain 'hrr' is not among the domains. Did you mean 'hr'.",
        (
            "contracts/people.yaml: the classification 'secret' of column 'team' is unknown. "
            "Use one of: internal, public, restricted."
        ),
    )


def test_a_model_over_two_domains_names_its_own(sources: Path) -> None:
    text = (
        CONTRACT.replace("people", "shops").replace("People", "Shops").replace("domain: hr", "domain: sales")
    )
    (sources / "contracts/shops.yaml").write_text(text)
    (sources / "models/teams.sql").write_text(
        "/*\ndescription: d\nkeys: [id]\n*/\n"
        "SELECT p.id FROM silver.people AS p JOIN silver.shops AS s ON s.id = p.id\n"
    )
    assert problems_of(sources) == (
        "models/teams.sql: its inputs are of several domains. Name the model's own: domain, in its header.",
    )


def test_a_check_tells_of_the_grants_though_a_contract_is_wrong(sources: Path) -> None:
    (sources / "contracts/people.yaml").write_text("kind: DataContract\n")
    (sources / "governance/grants.yaml").write_text(GRANTS + "grant: []\n")
    with pytest.raises(DefinitionError) as wrong:
        compile_definitions(sources)
    assert wrong.value.problems[-1] == "governance/grants.yaml: grant: extra inputs are not permitted."


# --- The access file ------------------------------------------------------------------------------

CASE = "cases:\n- {name: n, role: analyst, layer: gold, query: SELECT 1, %s}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (CASE % "rows: [], refused: gone", "governance/access.yaml: cases[0]: says either rows or refused."),
        (CASE % "columns: [a]", "governance/access.yaml: cases[0]: says either rows or refused."),
        (CASE % "rows: [], row: 1", "governance/access.yaml: cases[0].row: Extra inputs are not permitted."),
        ("cases:\n- {name: n", "governance/access.yaml: line 3, column 1: cannot be read as YAML"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(sources: Path, text: str, problem: str) -> None:
    (sources / "governance/access.yaml").write_text(text)
    with pytest.raises(DefinitionError) as wrong:
        compiled(sources)
    assert wrong.value.problems[0].startswith(problem)


def test_the_samples_questions_are_asked_as_roles_that_the_grants_know() -> None:
    cases, problems = read_access(sample_lake.ROOT)
    grants, _ = read_grants(sample_lake.ROOT)
    assert problems.found == []
    known = {each.role for each in grants.grants} | {each.role for each in grants.row_filters}
    assert {each.role for each in cases} == known


# --- The sample lake ----------------------------------------------------------------------------


def test_the_sample_lake_protects_tail_numbers() -> None:
    governance = sample_lake.definitions().governance
    closed: dict[str, Any] = {
        name: [column for column, given in table["columns"].items() if given == "restricted"]
        for name, table in governance["tables"].items()
        if name.startswith("gold.") and table["closed"]
    }
    assert closed == {"gold.aircraft_monthly": ["tailnum"]}
    assert json.loads(sample_lake.assets().files["governance.json"]) == governance
