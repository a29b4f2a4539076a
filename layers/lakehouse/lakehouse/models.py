"""Gold models: from a SQL file with a header to the plan a refresh needs, or to every mistake in it.

A model is ``models/<name>.sql``: a comment that holds YAML, then one SELECT in Spark SQL over
``silver.<dataset>`` and ``gold.<model>``. Its plan holds the SQL over view names, the inputs with their
partition mappings, and where each column comes from.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

import sqlglot
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from .errors import DefinitionError
from .expressions import DIALECT, first_line, function_faults, tokens_of
from .incremental import Unproven, carriers
from .plans import PLAN_VERSION, content_hash, is_timezone
from .problems import Problems, one_of
from .sql_lineage import Lineage, Unresolved
from .words import DATASET_PATTERN, ColumnSource, DatasetPlan, ModelInput, ModelPlan, PartitionField
from .yaml_text import read_mapping

SUFFIX: Final = ".sql"
Layer = Literal["silver", "gold"]
Schema = dict[str, dict[str, str]]
"""By layer-qualified table (``silver.flights``): its columns and their Spark types."""

_HEADER: Final = re.compile(r"\A\s*/\*(?P<header>.*?)\*/", re.DOTALL)
_COLUMN: Final = re.compile(r"[a-z][a-z0-9_]{0,127}")
_NOT_ROWS: Final = frozenset({"description", "domain", "declassified"})
_PIVOT: Final = ("PIVOT", "Write MAX(value) FILTER (WHERE name = 'x') AS x for each")
_UNPIVOT: Final = ("UNPIVOT", "Write a SELECT for each column, joined by UNION ALL")
_SORTERS: Final = (exp.ArraySort,)
_ORDER_DEPENDENT: Final = (
    exp.First, exp.Last, exp.FirstValue, exp.LastValue, exp.AnyValue, exp.ArrayAgg, exp.ArrayUniqueAgg,
)  # fmt: skip


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Partition(_Strict):
    column: str
    transform: Literal["identity", "year", "month", "day", "hour"] = "identity"


class _Input(_Strict):
    mapping: dict[str, str] | None = None
    lookback: int = Field(default=0, ge=0)


def _named(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


def _empty(value: Any) -> Any:
    return {} if value is None else value


class Header(_Strict):
    """The YAML above a model's SELECT."""

    description: str = Field(min_length=1)
    keys: list[str] = Field(min_length=1)
    partition_by: list[Annotated[_Partition, BeforeValidator(_named)]] = []
    timezone: str = "UTC"
    inputs: dict[str, Annotated[_Input, BeforeValidator(_empty)]] = {}
    domain: str | None = None
    declassified: dict[str, Annotated[str, Field(min_length=1)]] = {}


@dataclass
class Source:
    """A model's text as it was read, before its tables are known."""

    name: str
    header: Header
    sql: str
    tree: exp.Query
    problems: Problems
    tables: list[exp.Table] = field(default_factory=list)

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """(layer, table) of what the model reads, each once, as first written."""
        return list(dict.fromkeys((table.db, table.name) for table in self.tables))


@dataclass(frozen=True)
class Upstream:
    """What is known of a table that a model may read."""

    columns: dict[str, str]
    partition_by: list[PartitionField]


def compile_models(
    directory: Path, plans: Mapping[str, DatasetPlan], shown_as: str = "models"
) -> dict[str, ModelPlan]:
    """Compile every model of a directory against the contracts' plans.

    Returns the plans by model in dependency order. Raises ``DefinitionError`` with all problems.
    """
    sources, found = read_models(directory, shown_as)
    if not found:
        found = [str(fault) for fault in _unknown_inputs(sources, plans)]
    if found:
        raise DefinitionError(tuple(found))
    return _compile_in_order(sources, plans)


def read_models(directory: Path, shown_as: str = "models") -> tuple[dict[str, Source], list[str]]:
    """Read every model of a directory. Returns those that can be read, and what is wrong with the others."""
    sources: dict[str, Source] = {}
    found: list[str] = []
    for path in sorted(directory.iterdir()):
        if path.suffix != SUFFIX:
            continue
        file = f"{shown_as}/{path.name}"
        try:
            sources[path.stem] = read_model(path.read_text(encoding="utf-8"), file)
        except DefinitionError as error:
            found.extend(error.problems)
        except UnicodeDecodeError:
            found.append(f"{file}: is not UTF-8 text. Save it as UTF-8.")
    return sources, found


def _compile_in_order(
    sources: Mapping[str, Source], plans: Mapping[str, DatasetPlan]
) -> dict[str, ModelPlan]:
    known = {f"silver.{name}": _silver(plan) for name, plan in plans.items()}
    compiled: dict[str, ModelPlan] = {}
    found: list[str] = []
    for name in dependency_order({name: _gold_inputs(source) for name, source in sources.items()}):
        if any(f"gold.{other}" not in known for other in _gold_inputs(sources[name])):
            continue  # its input is broken and reported already
        try:
            compiled[name], known[f"gold.{name}"] = compile_model(sources[name], known)
        except DefinitionError as error:
            found.extend(error.problems)
    if found:
        raise DefinitionError(tuple(found))
    return compiled


def _gold_inputs(source: Source) -> list[str]:
    return [table for layer, table in source.inputs if layer == "gold"]


def _silver(plan: DatasetPlan) -> Upstream:
    return Upstream({column["name"]: column["type"] for column in plan["columns"]}, plan["partition_by"])


def _unknown_inputs(sources: Mapping[str, Source], plans: Mapping[str, DatasetPlan]) -> Iterator[str]:
    for source in sources.values():
        for layer, table in source.inputs:
            known = plans if layer == "silver" else sources
            if table not in known:
                what = "dataset has a contract named" if layer == "silver" else "model is named"
                yield f"{source.problems.file}: no {what} '{table}'. {one_of(table, known)}."


def dependency_order(needs: Mapping[str, list[str]]) -> list[str]:
    """The models so that each stands after those it needs; by name where that leaves a choice.

    Raises ``DefinitionError`` that names a cycle.
    """
    sorter = graphlib.TopologicalSorter(needs)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise DefinitionError(
            (f"models: {circle} need each other. Take one of the references out.",)
        ) from error
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order.extend(ready)
        sorter.done(*ready)
    return order


# --- Reading one file -------------------------------------------------------------------------


def read_model(text: str, file: str) -> Source:
    """Read a model's header and SQL, checking all that needs no knowledge of other tables.

    Raises ``DefinitionError`` with every problem.
    """
    problems = Problems(file)
    name = Path(file).stem
    if not DATASET_PATTERN.fullmatch(name):
        problems.add("", f"'{name}' is no model name", "Use lower case letters, digits, single underscores")
    header = _read_header(text, problems)
    sql = _HEADER.sub("", text, count=1).strip()
    tree = _parse(sql, problems)
    problems.end()
    source = Source(name, cast("Header", header), sql, cast("exp.Query", tree), problems)
    source.tables = list(_base_tables(source.tree, problems))
    _check_statement(source.tree, problems)
    _check_functions(source, problems)
    _check_header_inputs(source, problems)
    problems.end()
    return source


def _read_header(text: str, problems: Problems) -> Header | None:
    match = _HEADER.match(text)
    if match is None:
        problems.add("header", "is missing", "Begin the file with /* and YAML: description, keys, inputs")
        return None
    data = read_mapping(match["header"], problems, "header")
    if data is None:
        return None
    try:
        return Header.model_validate(data)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            place = ".".join(["header", *map(str, item["loc"])])
            unknown = item["type"] == "extra_forbidden"
            remedy = one_of(str(item["loc"][-1]), Header.model_fields) if unknown else ""
            problems.add(place, item["msg"][:1].lower() + item["msg"][1:], remedy)
        return None


def _parse(sql: str, problems: Problems) -> exp.Query | None:
    try:
        trees = sqlglot.parse(sql, read=DIALECT)
    except SqlglotError as error:
        problems.add("sql", f"cannot be read as Spark SQL ({first_line(error)})", "Mend it")
        return None
    if len(trees) != 1 or not isinstance(trees[0], exp.Select | exp.SetOperation):
        problems.add("sql", "is not one SELECT", "A model is one query; what it yields is the table")
        return None
    return trees[0]


def _base_tables(tree: exp.Query, problems: Problems) -> Iterator[exp.Table]:
    """The tables that are no CTEs; notes those that are written otherwise than ``silver.x`` or ``gold.x``."""
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if not table.db and table.name in ctes:
            continue
        if table.db not in {"silver", "gold"} or table.catalog or not isinstance(table.this, exp.Identifier):
            problems.add("sql", f"reads '{table.sql(DIALECT)}'", "Read silver.<dataset> or gold.<model>")
        else:
            yield table


def _check_statement(tree: exp.Query, problems: Problems) -> None:
    for star in tree.find_all(exp.Star):
        if not isinstance(star.parent, exp.Count):
            problems.add(
                "sql", "selects *", "Name the columns: a new one in an input must not change the model"
            )
    for kind, what in ((exp.Limit, "LIMIT"), (exp.Offset, "OFFSET"), (exp.TableSample, "TABLESAMPLE")):
        if tree.find(kind):
            problems.add("sql", f"{what} keeps other rows each time", "Rank by a full order and filter")
    for pivot in tree.find_all(exp.Pivot):
        what, remedy = _UNPIVOT if pivot.args.get("unpivot") else _PIVOT
        problems.add("sql", f"{what} hides where columns come from", remedy)
    for column in tree.find_all(exp.Column):
        if column.args.get("db") and column.parts[0].name in {"silver", "gold"}:
            problems.add("sql", f"names '{column.sql(DIALECT)}'", "Give the table an alias and use it")
    for node in tree.find_all(*_ORDER_DEPENDENT):
        if not isinstance(node.parent, _SORTERS) and node.find_ancestor(exp.Window) is None:
            remedy = "Use MIN_BY, MAX_BY or SORT_ARRAY(COLLECT_LIST(...))"
            problems.add("sql", f"{node.sql(DIALECT)} depends on the order of rows", remedy)


def _check_functions(source: Source, problems: Problems) -> None:
    names = {cte.alias.lower() for cte in source.tree.find_all(exp.CTE)}
    names |= {alias.name.lower() for alias in source.tree.find_all(exp.TableAlias)}
    for what, remedy in function_faults(tokens_of(source.sql), frozenset(names)):
        problems.add("sql", what, remedy)


def _check_header_inputs(source: Source, problems: Problems) -> None:
    read = [f"{layer}.{table}" for layer, table in source.inputs]
    for name in source.header.inputs:
        if name not in read:
            problems.add(
                f"header.inputs.{name}", "is not read by the SQL", one_of(name, read) if read else ""
            )
    if not read and not problems.found:
        problems.add("sql", "reads no table", "Read silver.<dataset> or gold.<model>")


# --- Compiling against what the inputs hold ---------------------------------------------------


def compile_model(source: Source, known: Mapping[str, Upstream]) -> tuple[ModelPlan, Upstream]:
    """Resolve one model against its inputs. ``known`` holds them by ``<layer>.<table>``.

    Returns the plan, and what other models may know of its table. Raises ``DefinitionError``.
    """
    problems = source.problems
    resolved = _resolve(source, known)
    lineage = Lineage(resolved)
    columns = lineage.outputs()
    _check_outputs(source.header, source.tree.named_selects, problems)
    _check_mappings(source, resolved, known)
    column_lineage = _column_lineage(lineage, problems)
    problems.end()
    partitions = [
        PartitionField(column=part.column, transform=part.transform) for part in source.header.partition_by
    ]
    plan = ModelPlan(
        plan_version=PLAN_VERSION,
        model=source.name,
        hash="",
        description=" ".join(source.header.description.split()),
        sql=view_sql(source),
        keys=source.header.keys,
        partition_by=partitions,
        timezone=source.header.timezone,
        inputs=[_input(source, layer, table) for layer, table in source.inputs],
        columns=columns,
        column_lineage=column_lineage,
    )
    if source.header.domain is not None:
        plan["domain"] = source.header.domain
    if source.header.declassified:
        plan["declassified"] = source.header.declassified
    plan["hash"] = model_hash(plan)
    return plan, Upstream(_types(resolved), partitions)


def _column_lineage(lineage: Lineage, problems: Problems) -> dict[str, list[ColumnSource]]:
    """Where every column comes from. It decides who may read the column, so none may stay unknown."""
    try:
        return lineage.columns()
    except Unresolved as unknown:
        remedy = "Write it so that the column is one of a table, a subquery or a lateral view"
        problems.add("sql", str(unknown), remedy)
        return {}


def model_hash(plan: ModelPlan) -> str:
    """The hash of what decides a model's rows: everything of the plan but its words and who may read it."""
    return content_hash({key: value for key, value in plan.items() if key not in _NOT_ROWS})


def _resolve(source: Source, known: Mapping[str, Upstream]) -> exp.Query:
    """The query with every column bound to its table, and typed as far as that can be known."""
    schema: dict[str, object] = {}
    for layer, table in source.inputs:
        tables = cast("dict[str, object]", schema.setdefault(layer, {}))
        tables[table] = dict(known[f"{layer}.{table}"].columns)
    try:
        resolved = qualify(source.tree.copy(), schema=schema, dialect=DIALECT)
        return annotate_types(resolved, schema=schema, dialect=DIALECT)
    except SqlglotError as error:
        source.problems.add(
            "sql", first_line(error), "Check the name against the contract or the model it is from"
        )
        source.problems.end()
        raise


def _types(resolved: exp.Query) -> dict[str, str]:
    return {
        projection.alias_or_name: projection.type.sql(DIALECT).lower() if projection.type else "unknown"
        for projection in resolved.selects
    }


def _check_outputs(header: Header, columns: list[str], problems: Problems) -> None:
    if not is_timezone(header.timezone):
        remedy = "Use a name like UTC or America/New_York"
        problems.add("header.timezone", f"'{header.timezone}' is no time zone", remedy)
    for name in columns:
        if not _COLUMN.fullmatch(name):
            problems.add("sql", f"yields a column '{name}'", "Name it with AS, in lower case, no _ first")
        if columns.count(name) > 1:
            problems.add("sql", f"yields two columns '{name}'", "Rename one of them")
    named = [("keys", name) for name in header.keys]
    named += [("partition_by", part.column) for part in header.partition_by]
    named += [("declassified", name) for name in header.declassified]
    for place, name in named:
        if name not in columns:
            problems.add(f"header.{place}", f"'{name}' is no column of the result", one_of(name, columns))


def _check_mappings(source: Source, resolved: exp.Query, known: Mapping[str, Upstream]) -> None:
    for name, data in source.header.inputs.items():
        place = f"header.inputs.{name}"
        if data.mapping is None:
            if data.lookback:
                source.problems.add(f"{place}.lookback", "means nothing without a mapping", "Add the mapping")
            continue
        agree = _mapped_partitions_agree(source, data.mapping, known[name], place)
        if agree and data.lookback == 0:
            _check_proof(source, resolved, name, data.mapping, place)


def _mapped_partitions_agree(source: Source, mapping: dict[str, str], upstream: Upstream, place: str) -> bool:
    """Whether both sides of a mapping are partitioned by the columns it names; notes where they are not."""
    inputs = {part["column"]: part["transform"] for part in upstream.partition_by}
    outputs = {part.column: part.transform for part in source.header.partition_by}
    faults: list[tuple[str, str]] = []
    if not mapping:
        faults.append(("is empty", "Leave it out if every change shall recompute all"))
    for column, output in mapping.items():
        if column not in inputs:
            remedy = one_of(column, inputs) if inputs else "Partition the input, or leave the mapping out"
            faults.append((f"the input is not partitioned by '{column}'", remedy))
        elif output not in outputs:
            remedy = one_of(output, outputs) if outputs else "Add partition_by to the header"
            faults.append((f"the model is not partitioned by '{output}'", remedy))
        elif "hour" in {inputs[column], outputs[output]} and inputs[column] != outputs[output]:
            faults.append((f"only one of '{column}' and '{output}' is by hour", "Let them agree"))
    for what, remedy in faults:
        source.problems.add(f"{place}.mapping", what, remedy)
    return not faults


def _check_proof(source: Source, resolved: exp.Query, name: str, mapping: dict[str, str], place: str) -> None:
    layer, _, table = name.partition(".")
    for column, output in mapping.items():
        try:
            proven = carriers(resolved, layer, table, column)
            why = f"a row's '{output}' need not be the '{column}' of every {name} row it depends on"
        except Unproven as verdict:
            proven, why = set(), verdict.why
        if output not in proven:
            problems = source.problems
            problems.add(
                f"{place}.mapping", f"cannot be kept: {why}", "Join and group by it, or leave it out"
            )


def _input(source: Source, layer: str, table: str) -> ModelInput:
    stated = source.header.inputs.get(f"{layer}.{table}", _Input())
    return ModelInput(
        layer=cast("Layer", layer),
        table=table,
        view=view_name(layer, table),
        mapping=stated.mapping,
        lookback=stated.lookback,
    )


def view_name(layer: str, table: str) -> str:
    """The name of the view under which a run shows a model one of its inputs."""
    return f"{layer}__{table}"


def view_sql(source: Source) -> str:
    """The model's own text, its tables replaced by the views' names; nothing else is rewritten."""
    text = source.sql
    for table in sorted(source.tables, key=lambda table: -table.this.meta["start"]):
        start, end = table.args["db"].meta["start"], table.this.meta["end"] + 1
        alias = "" if table.alias else f" AS {table.name}"
        text = f"{text[:start]}{view_name(table.db, table.name)}{alias}{text[end:]}"
    return text
