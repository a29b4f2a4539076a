"""Who may read what: from ``governance/grants.yaml``, the contracts and the models to what is put into the
catalog.

Tables carry the LF-Tags ``layer``, ``domain`` and ``classification``. A database is born with the strictest
classification and its tables and columns inherit it, so whatever is not named here is closed. A contract
opens its columns by their ``classification``; a model's column has the strictest one of the columns its
values are made of, unless the model says why not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import sqlglot
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from sqlglot import exp
from sqlglot.errors import SqlglotError

from .expressions import first_line
from .plans import PLAN_VERSION, content_hash
from .problems import Problem, Problems, one_of
from .words import (
    QUARANTINE_COLUMNS,
    RESCUED,
    ROW_HASH,
    SYSTEM_COLUMNS,
    DatasetPlan,
    GovernancePlan,
    ModelPlan,
    RowFilter,
    TableAccess,
    quarantine_table,
)
from .yaml_text import read_mapping

FOLDER: Final = "governance"
GRANTS_FILE: Final = "grants.yaml"
ACCESS_FILE: Final = "access.yaml"
MAX_ROWS_LENGTH: Final = 2047
"""Lake Formation refuses row filter expressions of 2,048 characters ("PartiQL support in row filter
expressions")."""
MAX_FILTERS: Final = 10
"""As many data filters a grant on a table may include ("Data filtering limitations")."""

_VALUES: Final = frozenset({"IDENTITY", "TRANSFORMATION", "AGGREGATION"})
"""How a value gets into a column. A filter, a join or a grouping decides about rows, and lets no value
through."""
_COMPARISONS: Final = exp.EQ | exp.NEQ | exp.GT | exp.GTE | exp.LT | exp.LTE | exp.Like

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, populate_by_name=True
    )


class TagGrant(_Strict):
    """What a role may see wherever the tags fit. The template makes these; here they are read and
    compared.
    """

    role: Name
    layers: list[Literal["bronze", "silver", "gold"]] = Field(min_length=1)
    classifications: list[Word] = Field(min_length=1)
    domains: list[Word] = []
    """Empty: of any domain."""
    permission: Literal["select", "describe"] = "select"


class FilterGrant(_Strict):
    """Rows (and columns; None: all) of one table for one role."""

    name: Word
    role: Name
    table: str
    rows: str = Field(min_length=1, max_length=MAX_ROWS_LENGTH)
    columns: list[str] | None = Field(default=None, min_length=1)


class Grants(_Strict):
    """``governance/grants.yaml``. Classifications stand from the most open to the most closed one."""

    classifications: list[Word] = Field(default=["public", "internal", "restricted"], min_length=2)
    default: Word = "restricted"
    """Of a contract's column that names no classification."""
    domains: list[Word] | None = None
    """None: tables carry no domain."""
    grants: list[TagGrant] = []
    row_filters: list[FilterGrant] = []


class AccessCase(_Strict):
    """One question of ``governance/access.yaml``: who asks what, and what the whole answer is."""

    name: str = Field(min_length=1)
    role: Name
    layer: Literal["bronze", "silver", "gold"]
    query: str = Field(min_length=1)
    columns: list[str] = []
    rows: list[list[str | None]] | None = None
    refused: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _has_one_answer(self) -> Self:
        if (self.rows is None) == (self.refused is None):
            raise ValueError("says either rows or refused")
        return self


def read_access(sources: Path) -> tuple[list[AccessCase], Problems]:
    """The questions of ``governance/access.yaml`` (none without the file), and what is wrong with it."""
    path = sources / FOLDER / ACCESS_FILE
    problems = Problems(f"{FOLDER}/{ACCESS_FILE}")
    if not path.is_file():
        return [], problems
    data = read_mapping(path.read_text(encoding="utf-8"), problems) or {}
    cases: list[AccessCase] = []
    for place, each in enumerate(data.get("cases") or []):
        try:
            cases.append(AccessCase.model_validate(each))
        except ValidationError as error:
            for item in error.errors(include_url=False):
                where = ".".join([f"cases[{place}]", *map(str, item["loc"])])
                problems.add(where, item["msg"].removeprefix("Value error, ").rstrip("."))
    return cases, problems


def read_grants(sources: Path) -> tuple[Grants, Problems]:
    """The grants below a folder; without a file nothing is opened. What is wrong stands in the problems."""
    path = sources / FOLDER / GRANTS_FILE
    problems = Problems(f"{FOLDER}/{GRANTS_FILE}")
    if not path.is_file():
        return Grants(), problems
    data = read_mapping(path.read_text(encoding="utf-8"), problems)
    if data is None:
        return Grants(), problems
    try:
        grants = Grants.model_validate(data)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            place = ".".join(map(str, item["loc"]))
            problems.add(place, item["msg"][:1].lower() + item["msg"][1:])
        return Grants(), problems
    _check_words(grants, problems)
    return grants, problems


def compile_governance(
    sources: Path, plans: Mapping[str, DatasetPlan], models: Mapping[str, ModelPlan]
) -> GovernancePlan:
    """Compile the grants of a folder against its contracts and models (in dependency order).

    Raises ``DefinitionError`` with every problem.
    """
    grants, problems = read_grants(sources)
    problems.found += read_access(sources)[1].found
    problems.end()
    tables: dict[str, TableAccess] = {}
    for plan in plans.values():
        tables |= _dataset_tables(plan, grants, problems)
    for model in models.values():
        tables[f"gold.{model['model']}"] = _model_table(model, tables, grants, problems)
    filters = [_row_filter(each, tables, grants, problems) for each in grants.row_filters]
    _check_filters(grants, tables, problems)
    problems.end()
    for name in {each["table"] for each in filters}:
        tables[name]["closed"] = True  # else whoever may read the open prefix reads the rows past the filter
    governance = GovernancePlan(
        plan_version=PLAN_VERSION,
        hash="",
        classifications=grants.classifications,
        tables=tables,
        row_filters=filters,
    )
    governance["hash"] = content_hash(governance)
    return governance


# --- Tables -----------------------------------------------------------------------------------


def _dataset_tables(plan: DatasetPlan, grants: Grants, problems: Problems) -> dict[str, TableAccess]:
    """Silver's table and its quarantine. All of Silver's bucket is closed, so that both are."""
    dataset = plan["dataset"]
    file = f"contracts/{dataset}.yaml"
    domain = _own_domain(plan.get("domain"), file, grants, problems)
    columns: dict[str, str] = {}
    for column in plan["columns"]:
        given = column.get("classification") or grants.default
        if given not in grants.classifications:
            what = f"the classification '{given}' of column '{column['name']}' is unknown"
            _add(problems, file, what, one_of(given, grants.classifications))
            given = grants.classifications[-1]
        columns[column["name"]] = given
    highest = strictest(columns.values(), grants.classifications)
    own = {name: highest if name == ROW_HASH else grants.default for name in SYSTEM_COLUMNS}
    silver = TableAccess(domain=domain, columns={**columns, **own, RESCUED: highest}, closed=True)
    raw = TableAccess(domain=domain, columns=dict.fromkeys(QUARANTINE_COLUMNS, highest), closed=True)
    return {f"silver.{dataset}": silver, f"silver.{quarantine_table(dataset)}": raw}


def _model_table(
    model: ModelPlan, tables: Mapping[str, TableAccess], grants: Grants, problems: Problems
) -> TableAccess:
    known = grants.classifications
    columns = {
        name: known[0] if name in model.get("declassified", {}) else _of_sources(model, name, tables, known)
        for name in model["columns"]
    }
    return TableAccess(
        domain=_model_domain(model, tables, grants, problems),
        columns=columns,
        closed=any(each != known[0] for each in columns.values()),
    )


def _of_sources(model: ModelPlan, column: str, tables: Mapping[str, TableAccess], known: list[str]) -> str:
    """The strictest classification of what a column's values are made of; of nothing (a count): the most
    open.
    """
    found = [
        tables[f"{source['layer']}.{source['table']}"]["columns"].get(source["column"], known[-1])
        for source in model["column_lineage"][column]
        if source["transformation"] in _VALUES
    ]
    return strictest([known[0], *found], known)


def _model_domain(
    model: ModelPlan, tables: Mapping[str, TableAccess], grants: Grants, problems: Problems
) -> str | None:
    """The model's own domain, or the one that all its inputs share."""
    file = f"models/{model['model']}.sql"
    if named := model.get("domain"):
        return _own_domain(named, file, grants, problems)
    found = {tables[f"{each['layer']}.{each['table']}"]["domain"] for each in model["inputs"]}
    if len(found) > 1:
        _add(
            problems, file, "its inputs are of several domains", "Name the model's own: domain, in its header"
        )
    return next(iter(found), None) if len(found) == 1 else None


def _own_domain(named: str | None, file: str, grants: Grants, problems: Problems) -> str | None:
    """The domain a contract or a model names, if domains are kept at all."""
    if named is None or grants.domains is None:
        return None
    if named not in grants.domains:
        _add(problems, file, f"its domain '{named}' is not among the domains", _known(named, grants.domains))
    return named


def _add(problems: Problems, file: str, what: str, remedy: str) -> None:
    """Note what is wrong in another file than the grants'."""
    problem = Problem(file, "", what, remedy)
    if problem not in problems.found:
        problems.found.append(problem)


def strictest(found: Iterable[str], known: list[str]) -> str:
    """The strictest of some classifications; of none the strictest there is."""
    return max(found, key=known.index, default=known[-1])


# --- Row filters ------------------------------------------------------------------------------


def _row_filter(
    given: FilterGrant, tables: Mapping[str, TableAccess], grants: Grants, problems: Problems
) -> RowFilter:
    place = f"rowFilters[{given.name}]"
    table = tables.get(given.table)
    if table is None:
        problems.add(f"{place}.table", f"there is no table '{given.table}'", one_of(given.table, tables))
    else:
        for name in [*(given.columns or []), *_filter_columns(given.rows, f"{place}.rows", problems)]:
            if name not in table["columns"]:
                problems.add(place, f"'{name}' is no column of {given.table}", one_of(name, table["columns"]))
        for grant in _adding(given.role, given.table, table, grants):
            what = f"'{given.role}' may select {given.table} by its tags ({', '.join(grant.classifications)})"
            problems.add(place, what, "Grants add up, so it would see all rows: take one of the two away")
    return RowFilter(
        name=given.name, role=given.role, table=given.table, rows=given.rows, columns=given.columns
    )


def _adding(role: str, name: str, table: TableAccess, grants: Grants) -> Iterator[TagGrant]:
    """The tag grants by which a role sees rows of a table past its filter."""
    for grant in grants.grants:
        if (
            grant.role == role
            and grant.permission == "select"
            and name.partition(".")[0] in grant.layers
            and (not grant.domains or table["domain"] in grant.domains)
            and not set(grant.classifications).isdisjoint(table["columns"].values())
        ):
            yield grant


def _filter_columns(rows: str, place: str, problems: Problems) -> list[str]:
    """The columns a row filter looks at; notes what Lake Formation would not take.

    Source: Lake Formation developer guide, "PartiQL support in row filter expressions": comparisons of a
    column with a constant, joined by AND, OR and NOT; no function, no column against another column.
    """
    try:
        tree = sqlglot.parse_one(rows, read="presto")
    except SqlglotError as error:
        problems.add(place, f"cannot be read ({first_line(error)})", "Write a condition like carrier = 'AA'")
        return []
    if not _is_condition(tree):
        remedy = (
            "Compare columns with constants by = < > <= >= <> BETWEEN IN LIKE IS NULL, joined by AND, OR, NOT"
        )
        problems.add(place, "is more than Lake Formation takes", remedy)
    return [column.name for column in tree.find_all(exp.Column)]


def _is_condition(node: exp.Expr) -> bool:
    if isinstance(node, exp.And | exp.Or):
        return _is_condition(node.left) and _is_condition(node.right)
    if isinstance(node, exp.Not | exp.Paren):
        return _is_condition(node.this)
    if isinstance(node, exp.Between):
        constants = [node.args["low"], node.args["high"]]
    elif isinstance(node, exp.In) and not node.args.get("query"):
        constants = node.expressions
    elif isinstance(node, exp.Is | _COMPARISONS):
        constants = [node.expression]
    else:
        return False
    return isinstance(node.this, exp.Column) and all(map(_is_constant, constants))


def _is_constant(node: exp.Expr) -> bool:
    bare = node.this if isinstance(node, exp.Neg) else node
    return isinstance(bare, exp.Literal | exp.Boolean | exp.Null)


# --- Checks of the file by itself ---------------------------------------------------------------


def _check_words(grants: Grants, problems: Problems) -> None:
    known = grants.classifications
    if len(set(known)) < len(known):
        problems.add("classifications", "one stands twice", "Name each once, the most open one first")
    if grants.default not in known:
        problems.add("default", f"'{grants.default}' is no classification", one_of(grants.default, known))
    for place, grant in enumerate(grants.grants):
        for word in grant.classifications:
            if word not in known:
                problems.add(
                    f"grants[{place}].classifications", f"'{word}' is no classification", one_of(word, known)
                )
        for word in grant.domains:
            if word not in (known_domains := grants.domains or []):
                problems.add(
                    f"grants[{place}].domains", f"'{word}' is no domain", _known(word, known_domains)
                )


def _check_filters(grants: Grants, tables: Mapping[str, TableAccess], problems: Problems) -> None:
    seen: set[tuple[str, str]] = set()
    for each in grants.row_filters:
        if (each.table, each.name) in seen:
            problems.add(f"rowFilters[{each.name}]", f"stands twice for {each.table}", "Rename one of them")
        seen.add((each.table, each.name))
    for name in tables:
        if sum(each.table == name for each in grants.row_filters) > MAX_FILTERS:
            problems.add("rowFilters", f"{name} has more than {MAX_FILTERS}", "Join some of them by OR")


def _known(word: str, known: list[str]) -> str:
    return one_of(word, known) if known else "Name it under domains"
