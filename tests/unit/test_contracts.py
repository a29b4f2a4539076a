# ruff: noqa: ISC004 - a sentence that is expected stands whole
"""Contracts: what compiles to which plan, and what every mistake is answered with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lakehouse.contracts import compile_contract, compile_contracts
from lakehouse.errors import DefinitionError
from lakehouse.words import DatasetPlan, path_regex

from . import sample_lake


def contract(
    properties: list[dict[str, Any]] | None = None,
    quality: list[dict[str, Any]] | None = None,
    name: str = "orders",
    top: dict[str, Any] | None = None,
    **options: Any,
) -> str:
    columns = properties or [{"name": "id", "logicalType": "integer", "required": True}]
    table: dict[str, Any] = {
        "name": name,
        "customProperties": [
            {"property": key, "value": value} for key, value in {"format": "csv", **options}.items()
        ],
        "properties": columns,
    }
    if quality is not None:
        table["quality"] = quality
    head = {"apiVersion": "v3.2.0", "kind": "DataContract", "id": "x", "version": "1.2.3", "status": "active"}
    return yaml.safe_dump({**head, **(top or {}), "schema": [table]}, sort_keys=False)


def plan_of(text: str, file: str = "contracts/orders.yaml") -> DatasetPlan:
    return compile_contract(text, file)


def problems_of(text: str, file: str = "contracts/orders.yaml") -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as wrong:
        compile_contract(text, file)
    return wrong.value.problems


def column(name: str = "c", logical: str = "string", **more: Any) -> dict[str, Any]:
    return {"name": name, "logicalType": logical, **more}


def custom(**options: Any) -> list[dict[str, Any]]:
    return [{"property": key, "value": value} for key, value in options.items()]


# --- The plan ---------------------------------------------------------------------------------


def test_a_small_contract_compiles_to_this_plan() -> None:
    text = contract(
        [
            column("id", "integer", physicalType="bigint", primaryKey=True, description="The\n  order."),
            column("day", "date", customProperties=custom(source="path"), partitioned=True),
            column("amount", "number", physicalType="decimal(10, 2)", logicalTypeOptions={"minimum": 0}),
            column("note", physicalName="Free Text", classification="restricted"),
        ],
        pathPattern="day={day:date}/*",
        nullTokens=["", "NA"],
        decimal=",",
        group=".",
        mode="upsert",
    )
    plan = plan_of(text)
    assert len(plan.pop("hash")) == 64  # type: ignore[misc]
    assert plan == {
        "plan_version": 1,
        "dataset": "orders",
        "contracted": True,
        "contract_version": "1.2.3",
        "format": {
            "type": "csv",
            "delimiter": ",",
            "quote": '"',
            "escape": '"',
            "header": True,
            "encoding": "UTF-8",
            "multiline": False,
            "null_tokens": ["", "NA"],
            "decimal": ",",
            "group": ".",
            "true_tokens": ["true"],
            "false_tokens": ["false"],
        },
        "path_pattern": "day={day:date}/*",
        "columns": [
            {
                "name": "id",
                "type": "bigint",
                "source": "file",
                "source_name": "id",
                "required": True,
                "date_format": None,
                "timezone": None,
                "classification": None,
                "description": "The order.",
            },
            {
                "name": "day",
                "type": "date",
                "source": "path",
                "source_name": "day",
                "required": True,
                "date_format": None,
                "timezone": None,
                "classification": None,
                "description": None,
            },
            {
                "name": "amount",
                "type": "decimal(10,2)",
                "source": "file",
                "source_name": "amount",
                "required": False,
                "date_format": None,
                "timezone": None,
                "classification": None,
                "description": None,
            },
            {
                "name": "note",
                "type": "string",
                "source": "file",
                "source_name": "Free Text",
                "required": False,
                "date_format": None,
                "timezone": None,
                "classification": "restricted",
                "description": None,
            },
        ],
        "primary_key": ["id"],
        "mode": "upsert",
        "sequence_column": None,
        "snapshot_group": None,
        "snapshot_files": None,
        "evolution": "evolve",
        "rules": [
            {"name": "malformed", "kind": "malformed", "columns": [], "value": None, "action": "quarantine"},
            {"name": "id_type", "kind": "type", "columns": ["id"], "value": None, "action": "quarantine"},
            {
                "name": "id_required",
                "kind": "required",
                "columns": ["id"],
                "value": None,
                "action": "quarantine",
            },
            {"name": "day_type", "kind": "type", "columns": ["day"], "value": None, "action": "quarantine"},
            {
                "name": "amount_type",
                "kind": "type",
                "columns": ["amount"],
                "value": None,
                "action": "quarantine",
            },
            {"name": "amount_min", "kind": "min", "columns": ["amount"], "value": 0, "action": "quarantine"},
        ],
        "partition_by": [{"column": "day", "transform": "identity"}],
        "bronze_table": False,
    }


def test_equal_contracts_have_equal_hashes_and_others_do_not() -> None:
    assert plan_of(contract())["hash"] == plan_of(contract() + "\n# a comment\n")["hash"]
    assert plan_of(contract())["hash"] != plan_of(contract(nullTokens=["NULL"]))["hash"]


@pytest.mark.parametrize(
    ("value", "unit", "seconds"),
    [(1, "d", 86400), (2, "days", 172800), (36, "h", 129600), (0.5, "hour", 1800)],
)
def test_the_frequency_of_files_is_a_number_of_seconds(value: float, unit: str, seconds: int) -> None:
    promised = {"property": "frequency", "value": value, "unit": unit}
    kept = {"property": "retention", "value": 3, "unit": "y"}
    assert plan_of(contract(top={"slaProperties": [kept, promised]}))["freshness_seconds"] == seconds
    assert "freshness_seconds" not in plan_of(contract(top={"slaProperties": [kept]}))


@pytest.mark.parametrize(
    ("stated", "kind"),
    [
        ({"logicalType": "string"}, "string"),
        ({"logicalType": "integer"}, "bigint"),
        ({"logicalType": "integer", "logicalTypeOptions": {"format": "i32"}}, "int"),
        ({"logicalType": "integer", "physicalType": "INT"}, "int"),
        ({"logicalType": "number"}, "double"),
        ({"logicalType": "number", "physicalType": "decimal(38,0)"}, "decimal(38,0)"),
        ({"logicalType": "boolean"}, "boolean"),
        ({"logicalType": "date"}, "date"),
        ({"logicalType": "timestamp", "logicalTypeOptions": {"timezone": True}}, "timestamp"),
        ({"logicalType": "timestamp", "logicalTypeOptions": {"timezone": False}}, "timestamp_ntz"),
        ({"logicalType": "timestamp", "physicalType": "timestamp_ntz"}, "timestamp_ntz"),
        ({"logicalType": "array", "items": {"logicalType": "string"}}, "array<string>"),
        (
            {"logicalType": "object", "properties": [{"name": "a", "logicalType": "integer"}]},
            "struct<a:bigint>",
        ),
        (
            {"logicalType": "object", "physicalType": "struct<a:int, b:array<date>>"},
            "struct<a:int,b:array<date>>",
        ),
        (
            {
                "logicalType": "map",
                "map": {"key": {"logicalType": "string"}, "value": {"logicalType": "number"}},
            },
            "map<string,double>",
        ),
    ],
)
def test_types(stated: dict[str, Any], kind: str) -> None:
    plan = plan_of(contract([{"name": "c", **stated}], format="jsonl"))
    assert plan["columns"][0]["type"] == kind


def test_every_kind_of_rule_with_its_action() -> None:
    text = contract(
        [
            column(
                "code",
                required=True,
                unique=True,
                enum=[{"value": "A"}, {"value": "B"}],
                logicalTypeOptions={"minLength": 1, "maxLength": 3, "pattern": "^[A-Z]+$"},
                customProperties=custom(action="rejectFile"),
            ),
            column(
                "n",
                "integer",
                logicalTypeOptions={"minimum": 1, "exclusiveMaximum": 10, "multipleOf": 2},
                quality=[
                    {
                        "metric": "invalidValues",
                        "arguments": {"validValues": [2, 4]},
                        "mustBe": 0,
                        "name": "n_known",
                        "customProperties": custom(action="warn"),
                    },
                    {"type": "text", "description": "for people"},
                    {"type": "custom", "engine": "soda", "implementation": "theirs"},
                ],
            ),
            column(
                "d", "date", logicalTypeOptions={"minimum": "2020-01-01", "exclusiveMaximum": "2030-01-01"}
            ),
        ],
        quality=[
            {"metric": "duplicateValues", "arguments": {"properties": ["code"]}, "mustBe": 0},
            {"metric": "duplicateValues", "arguments": {"properties": ["code", "n"]}, "mustBe": 0},
            {
                "type": "custom",
                "engine": "lakehouse",
                "name": "small_or_late",
                "implementation": "n < 5 OR d > DATE '2024-01-01'",
                "customProperties": custom(action="rejectBatch"),
            },
        ],
    )
    rules = {
        rule["name"]: (rule["kind"], rule["columns"], rule["value"], rule["action"])
        for rule in plan_of(text)["rules"]
    }
    assert rules == {
        "malformed": ("malformed", [], None, "quarantine"),
        "code_required": ("required", ["code"], None, "rejectFile"),
        "code_unique": ("unique", ["code"], None, "quarantine"),
        "code_enum": ("enum", ["code"], ["A", "B"], "rejectFile"),
        "code_minLength": ("minLength", ["code"], 1, "rejectFile"),
        "code_maxLength": ("maxLength", ["code"], 3, "rejectFile"),
        "code_pattern": ("pattern", ["code"], "^[A-Z]+$", "rejectFile"),
        "n_type": ("type", ["n"], None, "quarantine"),
        "n_min": ("min", ["n"], 1, "quarantine"),
        "n_exclusiveMaximum": ("sql", ["n"], "`n` < 10", "quarantine"),
        "n_multipleOf": ("sql", ["n"], "`n` % 2 = 0", "quarantine"),
        "n_known": ("enum", ["n"], [2, 4], "warn"),
        "d_type": ("type", ["d"], None, "quarantine"),
        "d_min": ("min", ["d"], "2020-01-01", "quarantine"),
        "d_exclusiveMaximum": ("sql", ["d"], "`d` < DATE '2030-01-01'", "quarantine"),
        "code_n_unique": ("unique", ["code", "n"], None, "quarantine"),
        "small_or_late": ("sql", ["n", "d"], "n < 5 OR d > DATE '2024-01-01'", "rejectBatch"),
    }


def test_a_unique_rule_rejects_rows_and_never_files() -> None:
    text = contract([column("code", unique=True, customProperties=custom(action="rejectFile"))])
    with pytest.raises(DefinitionError) as refused:
        plan_of(text)
    assert "the unique rule 'code_unique' cannot rejectFile" in str(refused.value)


def test_a_quality_entry_replaces_the_rule_that_the_property_implies() -> None:
    entry = {"metric": "nullValues", "mustBe": 0, "name": "told", "customProperties": custom(action="warn")}
    rules = plan_of(contract([column("c", required=True, quality=[entry])]))["rules"]
    assert [(rule["name"], rule["action"]) for rule in rules if rule["kind"] == "required"] == [
        ("told", "warn")
    ]


def test_key_and_partition_order_follow_their_positions() -> None:
    text = contract(
        [
            column("a", primaryKey=True, primaryKeyPosition=2, partitioned=True, partitionKeyPosition=2),
            column("b", primaryKey=True, primaryKeyPosition=1),
            column(
                "t",
                "timestamp",
                physicalType="timestamp",
                partitioned=True,
                partitionKeyPosition=1,
                customProperties=custom(partitionTransform="month"),
            ),
        ]
    )
    plan = plan_of(text)
    assert plan["primary_key"] == ["b", "a"]
    assert plan["partition_by"] == [
        {"column": "t", "transform": "month"},
        {"column": "a", "transform": "identity"},
    ]
    assert all(c["required"] for c in plan["columns"] if c["name"] in {"a", "b"})


def test_a_timezone_makes_an_instant_of_a_zoneless_time() -> None:
    def time(**options: Any) -> dict[str, Any]:
        return column("t", "timestamp", physicalType="timestamp", logicalTypeOptions=options)

    plan = plan_of(contract([time(format="dd.MM.yyyy HH:mm")], timezone="Europe/Berlin"))
    assert (plan["columns"][0]["date_format"], plan["columns"][0]["timezone"]) == (
        "dd.MM.yyyy HH:mm",
        "Europe/Berlin",
    )
    assert "times without a zone are no instants" in problems_of(contract([time(format="HH:mm")]))[0]


@pytest.mark.parametrize(
    ("options", "group", "files"),
    [
        ({}, None, 1),
        ({"snapshotGroup": "day", "snapshotFiles": 3, "pathPattern": "{day:date}/*"}, "day", 3),
    ],
)
def test_snapshots(options: dict[str, Any], group: str | None, files: int) -> None:
    plan = plan_of(contract(mode="snapshot", **options))
    assert (plan["snapshot_group"], plan["snapshot_files"]) == (group, files)


@pytest.mark.parametrize(
    ("faithful", "options"),
    [
        (True, {"columnOrder": "fixed"}),
        (True, {"header": False}),
        (True, {"format": "jsonl"}),
        (True, {"format": "parquet"}),
        (False, {}),
        (False, {"format": "json"}),
        (False, {"columnOrder": "fixed", "multiline": True}),
        (False, {"columnOrder": "fixed", "encoding": "ISO-8859-1"}),
        (False, {"columnOrder": "fixed", "pathPattern": "{day}/*/*"}),
        (True, {"columnOrder": "fixed", "pathPattern": "{day}/*"}),
    ],
)
def test_a_bronze_table_only_where_athena_reads_the_files_as_they_are(
    faithful: bool, options: dict[str, Any]
) -> None:
    assert plan_of(contract(**options))["bronze_table"] is faithful


def test_a_dataset_is_taken_in_by_schedule_only_if_its_contract_says_so() -> None:
    assert "scheduled" not in plan_of(contract())
    assert "scheduled" not in plan_of(contract(intake="events"))
    assert plan_of(contract(intake="scheduled"))["scheduled"] is True


def test_what_a_contract_asks_of_maintenance() -> None:
    assert "maintenance" not in plan_of(contract())
    asked = plan_of(contract(maximumDelayDays=7, targetFileMebibytes=128))["maintenance"]
    assert asked == {"maximum_delay_days": 7, "target_file_bytes": 134_217_728}
    assert plan_of(contract(maximumDelayDays=7))["maintenance"] == {"maximum_delay_days": 7}


# --- Mistakes ---------------------------------------------------------------------------------

PLACE = "contracts/orders.yaml: schema[0]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            contract(name="other"),
            f"{PLACE}.name: 'other' is not the file's name. Name the file other.yaml.",
        ),
        (
            contract(mode="scd2"),
            f"{PLACE}.customProperties[mode]: 'scd2' is not supported yet. Use append, upsert or snapshot.",
        ),
        (
            contract(mode="cdc"),
            f"{PLACE}.customProperties[mode]: 'cdc' is not supported yet. Use append, upsert or snapshot.",
        ),
        (
            contract(mode="upsert"),
            f"{PLACE}.customProperties[mode]: upsert needs a key. Set primaryKey: true on the key's properties.",
        ),
        (
            contract(nulTokens=["x"]),
            f"{PLACE}.customProperties[nulTokens]: is unknown. Did you mean 'nullTokens'.",
        ),
        (
            contract(maximumDelayDays=0),
            f"{PLACE}.customProperties[maximumDelayDays]: input should be greater than or equal to 1.",
        ),
        (
            contract(freshness="1d"),
            f"{PLACE}.customProperties[freshness]: is not read here. "
            "Use slaProperties at the contract's top, with property: frequency.",
        ),
        (
            contract(maximumDelay="1d"),
            f"{PLACE}.customProperties[maximumDelay]: is unknown. Did you mean 'maximumDelayDays'.",
        ),
        (
            contract(top={"slaProperties": [{"property": "frequency", "value": "daily"}]}),
            "contracts/orders.yaml: slaProperties[0].value: 'daily' is no number above 0. Say every how many units files come.",
        ),
        (
            contract(top={"slaProperties": [{"property": "frequency", "value": 1, "unit": "dy"}]}),
            "contracts/orders.yaml: slaProperties[0].unit: 'dy' is no unit of a frequency. Did you mean 'day'.",
        ),
        (
            contract(
                top={
                    "slaProperties": [
                        {"property": "frequency", "value": 1, "unit": "d", "element": "orders.id"}
                    ]
                }
            ),
            "contracts/orders.yaml: slaProperties[0].element: is not looked at: files are, when they land. Remove it.",
        ),
        (
            contract(top={"slaProperties": 2 * [{"property": "frequency", "value": 1, "unit": "d"}]}),
            "contracts/orders.yaml: slaProperties[1]: is a second frequency. Keep one of them.",
        ),
        (
            contract(nullTokens=[False]),
            f"{PLACE}.customProperties[nullTokens]: input should be a valid string. "
            "YAML reads NO, ON and 1 as no text: quote them.",
        ),
        (
            contract(format="jsonl", delimiter=";"),
            f"{PLACE}.customProperties[delimiter]: means nothing for jsonl files. Remove it.",
        ),
        (
            contract(delimiter='"'),
            f"{PLACE}.customProperties[delimiter]: is also the quote, the escape or a line end. Choose another.",
        ),
        (
            contract(timezone="Mars/Base"),
            f"{PLACE}.customProperties[timezone]: 'Mars/Base' is no time zone. "
            "Use a name like UTC or America/New_York.",
        ),
        (
            contract(pathPattern="{Year}/*"),
            f"{PLACE}.customProperties[pathPattern]: path pattern: cannot read from character 1 on. "
            "Write {name}, {name:int}, {name:date}, * and **, e.g. year={year:int}/*.",
        ),
        (
            contract(snapshotFiles=2),
            f"{PLACE}.customProperties[snapshotFiles]: needs mode snapshot. Remove it or set the mode.",
        ),
        (
            contract([column("_x")]),
            f"{PLACE}.properties[0].name: '_x' begins with _, which is kept for our own columns. Rename it.",
        ),
        (
            contract([column("Camel")]),
            f"{PLACE}.properties[0].name: 'Camel' is no column name. "
            "Use lower case letters, digits and underscores; give the file's name as physicalName.",
        ),
        (
            contract([column("a"), column("a")]),
            f"{PLACE}.properties[1].name: 'a' stands twice. Keep one of them.",
        ),
        (
            contract([column("a"), column("b", physicalName="A")]),
            f"{PLACE}.properties[1]: a second column reads 'A'. Read each field once (case does not count).",
        ),
        (
            contract([column("a", "number", physicalType="varchar(3)")]),
            f"{PLACE}.properties[0]: 'a' type 'varchar(3)' is unknown. Did you mean 'string'.",
        ),
        (
            contract([column("a", "integer", physicalType="date")]),
            f"{PLACE}.properties[0]: 'a' physicalType date is no integer. Change one of the two.",
        ),
        (
            contract([column("a", "timestamp")]),
            f"{PLACE}.properties[0]: 'a' does not say whether it is an instant or a time without zone. "
            "Set physicalType to timestamp (instant) or timestamp_ntz, or logicalTypeOptions.timezone.",
        ),
        (
            contract([{"name": "a"}]),
            f"{PLACE}.properties[0]: has no logicalType. Set it, e.g. logicalType: string.",
        ),
        (
            contract([column("a", "array", items={"logicalType": "string"})]),
            f"{PLACE}.properties[0]: a csv file cannot hold array<string>. Use string, or another format.",
        ),
        (
            contract([column("a", customProperties=custom(source="path")), column("b")]),
            f"{PLACE}.properties[0]: the path has no value 'a'. Set the dataset's pathPattern.",
        ),
        (
            contract(
                [column("a", "date", customProperties=custom(source="path")), column("b")],
                pathPattern="{a:int}/*",
            ),
            f"{PLACE}.properties[0]: the path's value 'a' is int, the column date. "
            "Let them agree, e.g. {a:int} and int.",
        ),
        (
            contract([column("a", "number", primaryKey=True)]),
            f"{PLACE}.properties[0].primaryKey: double cannot be a key. Choose another key.",
        ),
        (
            contract([column("a", "integer", enum=[{"value": "x"}])]),
            f"{PLACE}.properties[0].enum: 'x' cannot be compared with 'a', which is bigint. "
            "Write a value of that type.",
        ),
        (
            contract([column("a", logicalTypeOptions={"pattern": "["})]),
            f"{PLACE}.properties[0].logicalTypeOptions.pattern: "
            "is no regular expression (unterminated character set). Mend it; anchor it with ^ and $.",
        ),
        (
            contract([column("a", "date", logicalTypeOptions={"format": "YYYY-MM-dd"})]),
            f"{PLACE}.properties[0].logicalTypeOptions.format: "
            "Spark does not read the pattern letter 'Y'. Use yyyy, MM and dd.",
        ),
        (
            contract([column("a", partitioned=True, customProperties=custom(partitionTransform="day"))]),
            f"{PLACE}.properties[0].partitioned: no day can be taken of string. Use identity.",
        ),
        (
            contract([column("a", primaryKey=True)], mode="upsert", sequenceColumn="b"),
            f"{PLACE}.customProperties[sequenceColumn]: 'b' is no column. Use one of: a.",
        ),
        (
            contract(quality=[{"type": "sql", "query": "SELECT count(*) FROM t", "mustBe": 0}]),
            f"{PLACE}.quality[0]: a quality entry of type 'sql' does not judge rows. "
            "Use 'type: custom, engine: lakehouse, implementation: <boolean SQL over the row>'.",
        ),
        (
            contract(quality=[{"metric": "rowCount", "mustBe": 3}]),
            f"{PLACE}.quality[0]: only 'mustBe: 0' is supported. A rule judges rows: each bad row counts.",
        ),
        (
            contract(top={"customProperties": custom(format="csv")}),
            "contracts/orders.yaml: customProperties[format]: is not read here. "
            "Move it to schema[0].customProperties, or name its vendor.",
        ),
        (
            contract(top={"status": 3}),
            "contracts/orders.yaml: status: 3 is not of type 'string'. See the Open Data Contract Standard.",
        ),
        (
            contract(top={"nonsense": 3}),
            "contracts/orders.yaml: Additional properties are not allowed ('nonsense' was unexpected). "
            "See the Open Data Contract Standard.",
        ),
    ],
)
def test_a_mistake_is_answered_with_place_and_remedy(text: str, expected: str) -> None:
    assert problems_of(text) == (expected,)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("id IN (SELECT 1)", "holds a subquery"),
        ("count(id) > 1", "holds an aggregate"),
        ("kurtosis(id) > 1", "holds an aggregate"),
        ("row_number() OVER (ORDER BY id) > 1", "holds a window function"),
        ("explode(array(id)) > 1", "makes several rows of one"),
        ("other > 1", "names the column 'other', which the contract does not have"),
        ("_run_id = 'x'", "names the column '_run_id', which the contract does not have"),
        ("lenght('a') > id", "Spark has no function 'lenght'"),
        ("id > rand()", "rand() gives another answer the next time"),
        ("current_date > DATE '2020-01-01'", "current_date() gives another answer the next time"),
        ("assert_true(id > 1) IS NULL", "assert_true() ends the job"),
        ("id + 1", "is of type bigint, not boolean"),
        ("id > 1; DROP TABLE x", "is not one expression"),
        ("id > 1 -- so", "holds a comment"),
        ("id > 1) OR (1 = 1", "cannot be read as Spark SQL"),
        ("id = :x", "holds a parameter"),
        ("DROP TABLE x", "is not an expression"),
    ],
)
def test_a_rule_is_one_boolean_expression_over_one_row(sql: str, expected: str) -> None:
    rule = {"type": "custom", "engine": "lakehouse", "name": "r", "implementation": sql}
    problems = problems_of(contract(quality=[rule]))
    assert problems[0].startswith(f"{PLACE}.quality[0].implementation: {expected}")


@pytest.mark.parametrize(
    "sql",
    [
        "id > 1 AND NOT id = 7 OR id IS NULL",
        "exists(array(1, 2), x -> x > id)",
        "CASE WHEN id > 1 THEN true ELSE false END",
        "cast(id AS STRING) RLIKE '^[0-9]+$'",
        "try_cast('1' AS INT) = id",
        "id BETWEEN 1 AND 10 AND luhn_check(cast(id AS STRING))",
    ],
)
def test_what_a_rule_may_say(sql: str) -> None:
    rule = {"type": "custom", "engine": "lakehouse", "name": "r", "implementation": sql}
    assert plan_of(contract(quality=[rule]))["rules"][-1]["value"] == sql


def test_all_mistakes_are_told_at_once() -> None:
    text = contract([column("_a"), column("B"), column("c", "date", physicalType="int")], mode="upsert")
    assert len(problems_of(text)) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "contracts/orders.yaml: line 2, column 1: cannot be read as YAML"),
        ("- a\n", "contracts/orders.yaml: is no mapping of names to values"),
        (
            "id: x\nid: y\n",
            "contracts/orders.yaml: line 2, column 1: cannot be read as YAML (the key 'id' stands twice)",
        ),
        ("", "contracts/orders.yaml: is no mapping of names to values"),
    ],
)
def test_text_that_is_no_contract(text: str, expected: str) -> None:
    assert problems_of(text)[0].startswith(expected)


def test_two_objects_are_refused() -> None:
    data = yaml.safe_load(contract())
    data["schema"].append(data["schema"][0])
    assert "holds 2 objects" in problems_of(yaml.safe_dump(data))[0]


def test_the_problems_of_all_files_come_together(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(contract())
    (tmp_path / "a.yaml").write_text(contract(name="b"))
    (tmp_path / "c.yml").write_text(contract(name="c"))
    (tmp_path / "d.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "notes.md").write_text("not a contract")
    with pytest.raises(DefinitionError) as wrong:
        compile_contracts(tmp_path)
    assert wrong.value.problems == (
        "contracts/a.yaml: schema[0].name: 'b' is not the file's name. Name the file b.yaml.",
        "contracts/c.yml: is not read. Name it c.yaml.",
        "contracts/d.yaml: is not UTF-8 text. Save it as UTF-8.",
    )


# --- The sample lake --------------------------------------------------------------------------


def test_the_contracts_of_the_sample_lake() -> None:
    plans = sample_lake.definitions().plans
    shown = {
        name: (plan["mode"], plan["primary_key"], [part["column"] for part in plan["partition_by"]])
        for name, plan in plans.items()
    }
    assert shown == {
        "airlines": ("upsert", ["carrier"], []),
        "airports": ("snapshot", ["faa"], []),
        "flights": ("append", [], ["year", "month"]),
        "planes": ("upsert", ["tailnum"], []),
        "weather": ("append", ["origin", "time_hour"], ["year", "month"]),
    }
    assert all(plan["bronze_table"] for plan in plans.values())
    tail_numbers = [c for plan in plans.values() for c in plan["columns"] if c["name"] == "tailnum"]
    assert [c["classification"] for c in tail_numbers] == ["restricted", "restricted"]


# --- Path patterns ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "path", "values"),
    [
        ("year={year:int}/month={month:int}/*", "year=2013/month=01/f.csv", {"year": "2013", "month": "01"}),
        ("year={year:int}/*", "year=2013/a/f.csv", None),
        ("{day:date}/**", "2024-01-31/a/b.csv", {"day": "2024-01-31"}),
        ("{day:date}/*", "2024-1-31/b.csv", None),
        ("{shop}/orders_{n:int}.csv", "Köln +1/orders_7.csv", {"shop": "Köln +1", "n": "7"}),
        ("a.b/*", "aXb/f", None),
    ],
)
def test_path_patterns(pattern: str, path: str, values: dict[str, str] | None) -> None:
    match = path_regex(pattern).fullmatch(path)
    assert (match.groupdict() if match else None) == values
