"""Gold models: their plans, their lineage, the proof of their mappings, and every refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from lakehouse.errors import DefinitionError
from lakehouse.models import compile_models, dependency_order
from lakehouse.sql_lineage import Lineage, Unresolved
from lakehouse.words import DatasetPlan, ModelPlan

from . import sample_lake

ORDERS = {
    "id": "bigint",
    "shop": "string",
    "day": "date",
    "at": "timestamp",
    "amount": "double",
    "tags": "array<string>",
    "place": "struct<city:string,zip:int>",
}
SHOPS = {"shop": "string", "city": "string", "opened": "date"}
ITEMS = {"id": "bigint", "day": "date", "n": "int"}


def silver(dataset: str, columns: dict[str, str], *partitions: str) -> Any:
    return {
        "dataset": dataset,
        "columns": [{"name": name, "type": kind} for name, kind in columns.items()],
        "partition_by": [{"column": name, "transform": "identity"} for name in partitions],
    }


PLANS: dict[str, DatasetPlan] = {
    "orders": silver("orders", ORDERS, "day", "shop"),
    "shops": silver("shops", SHOPS),
    "items": silver("items", ITEMS, "day"),
}
HEADER = "description: d\nkeys: [day]\npartition_by: [day]\n"
BY_DAY = "inputs: {silver.orders: {mapping: {day: day}}}\n"


def model(sql: str, header: str = HEADER) -> str:
    return f"/*\n{header}*/\n{sql}\n"


def compiled(tmp_path: Path, **texts: str) -> dict[str, ModelPlan]:
    for name, text in texts.items():
        (tmp_path / f"{name}.sql").write_text(text)
    return compile_models(tmp_path, PLANS)


def problems_of(tmp_path: Path, **texts: str) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as wrong:
        compiled(tmp_path, **texts)
    return wrong.value.problems


# --- The plan ---------------------------------------------------------------------------------


def test_a_small_model_compiles_to_this_plan(tmp_path: Path) -> None:
    text = model(
        "-- by day\nSELECT o.day, s.city AS town, sum(o.amount) AS amount, count(*) AS n\n"
        "FROM silver.orders o JOIN `silver`.shops AS s ON s.shop = o.shop\nGROUP BY o.day, s.city",
        "description: >\n  What was\n  sold.\nkeys: [day, town]\npartition_by: [day]\ntimezone: Europe/Berlin\n"
        + BY_DAY,
    )
    plan = compiled(tmp_path, sales=text)["sales"]
    assert len(plan.pop("hash")) == 64  # type: ignore[misc]
    assert plan == {
        "plan_version": 1,
        "model": "sales",
        "description": "What was sold.",
        "sql": (
            "-- by day\nSELECT o.day, s.city AS town, sum(o.amount) AS amount, count(*) AS n\n"
            "FROM silver__orders o JOIN silver__shops AS s ON s.shop = o.shop\nGROUP BY o.day, s.city"
        ),
        "keys": ["day", "town"],
        "partition_by": [{"column": "day", "transform": "identity"}],
        "timezone": "Europe/Berlin",
        "inputs": [
            {
                "layer": "silver",
                "table": "orders",
                "view": "silver__orders",
                "mapping": {"day": "day"},
                "lookback": 0,
            },
            {"layer": "silver", "table": "shops", "view": "silver__shops", "mapping": None, "lookback": 0},
        ],
        "columns": ["day", "town", "amount", "n"],
        "column_lineage": {
            "day": [source("orders", "day", "IDENTITY")],
            "town": [source("shops", "city", "IDENTITY")],
            "amount": [source("orders", "amount", "AGGREGATION")],
            "n": [],
            "*": [
                source("orders", "day", "GROUP_BY"),
                source("orders", "shop", "JOIN"),
                source("shops", "city", "GROUP_BY"),
                source("shops", "shop", "JOIN"),
            ],
        },
    }


def source(table: str, column: str, kind: str, layer: str = "silver") -> dict[str, str]:
    return {"layer": layer, "table": table, "column": column, "transformation": kind}


def test_the_hash_is_of_what_decides_the_rows(tmp_path: Path) -> None:
    def hash_of(sql: str, header: str = HEADER) -> str:
        return compiled(tmp_path, m=model(sql, header))["m"]["hash"]

    sql = "SELECT o.day, max(o.amount) AS a FROM silver.orders o GROUP BY o.day"
    first = hash_of(sql)
    assert hash_of(sql, HEADER.replace("description: d", "description: other")) == first
    assert hash_of(sql.replace("max", "min")) != first
    assert hash_of(sql, HEADER + "timezone: Europe/Berlin\n") != first
    assert hash_of(sql, HEADER + BY_DAY) != first


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT orders.day FROM silver.orders", "SELECT orders.day FROM silver__orders AS orders"),
        (
            "SELECT o.day /* silver.orders */, 'silver.orders' AS x FROM silver . orders AS o",
            "SELECT o.day /* silver.orders */, 'silver.orders' AS x FROM silver__orders AS o",
        ),
        (
            "WITH orders AS (SELECT a.day FROM silver.orders a) SELECT orders.day FROM orders",
            "WITH orders AS (SELECT a.day FROM silver__orders a) SELECT orders.day FROM orders",
        ),
        (
            "SELECT a.day FROM silver.orders a UNION ALL SELECT b.day FROM silver.items b",
            "SELECT a.day FROM silver__orders a UNION ALL SELECT b.day FROM silver__items b",
        ),
    ],
)
def test_only_the_tables_are_rewritten(tmp_path: Path, sql: str, expected: str) -> None:
    assert compiled(tmp_path, m=model(sql))["m"]["sql"] == expected


# --- Lineage ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "uses"),
    [
        ("o.amount", ["amount IDENTITY"]),
        ("o.amount + o.id", ["amount TRANSFORMATION", "id TRANSFORMATION"]),
        ("o.shop || upper(o.shop)", ["shop TRANSFORMATION"]),
        (
            "sum(o.amount) OVER (PARTITION BY o.shop ORDER BY o.at)",
            ["amount AGGREGATION", "at SORT", "shop GROUP_BY"],
        ),
        ("CASE WHEN o.id > 1 THEN o.shop END", ["id TRANSFORMATION", "shop TRANSFORMATION"]),
        ("exists(o.tags, t -> t = o.shop)", ["shop TRANSFORMATION", "tags TRANSFORMATION"]),
        (
            "(SELECT max(i.amount) FROM silver.orders i WHERE i.shop = o.shop)",
            ["amount AGGREGATION", "shop FILTER"],
        ),
        ("o.place.city", ["place TRANSFORMATION"]),
        ("1", []),
    ],
)
def test_where_a_column_comes_from(tmp_path: Path, expression: str, uses: list[str]) -> None:
    plan = compiled(tmp_path, m=model(f"SELECT o.day, {expression} AS c FROM silver.orders o"))["m"]
    assert [f"{s['column']} {s['transformation']}" for s in plan["column_lineage"]["c"]] == uses


def test_lineage_goes_through_ctes_unions_subqueries_and_lateral_views(tmp_path: Path) -> None:
    sql = """
    WITH a AS (SELECT day, sum(amount) AS total FROM silver.orders GROUP BY day),
         b AS (SELECT day, total * 2 AS twice FROM a UNION ALL SELECT day, n FROM silver.items)
    SELECT b.day, b.twice, x.tag, s.city
    FROM b JOIN (SELECT day, tag FROM silver.orders LATERAL VIEW explode(tags) t AS tag) x USING (day)
    CROSS JOIN silver.shops s WHERE s.opened < b.day
    """
    lineage = compiled(tmp_path, m=model(sql))["m"]["column_lineage"]
    assert lineage["twice"] == [
        source("items", "n", "IDENTITY"),
        source("orders", "amount", "AGGREGATION"),
    ]
    assert lineage["tag"] == [source("orders", "tags", "TRANSFORMATION")]
    assert lineage["city"] == [source("shops", "city", "IDENTITY")]
    assert source("shops", "opened", "FILTER") in lineage["*"]


PIVOTED = "SELECT p.a AS v FROM (SELECT o.id, o.shop, o.day FROM silver.orders AS o) PIVOT (max(id) FOR shop IN ('x' AS a)) AS p"
UNKNOWN = "SELECT u.tag AS v FROM silver.orders AS o LATERAL VIEW explode(o.tags) t AS tag"
RENAMED = "SELECT t.c AS v FROM (SELECT o.id AS b, o.day AS d FROM silver.orders AS o) AS t"


@pytest.mark.parametrize(("sql", "column"), [(PIVOTED, "a"), (RENAMED, "c"), (UNKNOWN, "tag")])  # fmt: skip
def test_a_column_of_unknown_origin_is_never_taken_for_one_made_of_nothing(sql: str, column: str) -> None:
    query = cast("exp.Query", sqlglot.parse_one(sql, read="spark"))
    with pytest.raises(Unresolved, match=f"nothing says where '{column}' comes from"):
        Lineage(query).columns()


def test_an_unresolved_column_is_a_mistake_in_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakehouse.models._check_statement", lambda tree, problems: None)
    sql = (
        "SELECT day, a FROM (SELECT day, shop, id FROM silver.orders) PIVOT (max(id) FOR shop IN ('x' AS a))"
    )
    [problem] = problems_of(tmp_path, m=model(sql))
    assert problem.startswith("models/m.sql: sql: nothing says where 'day' comes from. Write it so")


# --- Dependencies -----------------------------------------------------------------------------


def test_models_stand_in_dependency_order_and_know_each_others_columns(tmp_path: Path) -> None:
    day = "SELECT o.day, count(*) AS n FROM silver.orders o GROUP BY o.day"
    up = "SELECT d.day, d.n + 1 AS n FROM gold.z_day d"
    plans = compiled(
        tmp_path,
        a_top=model("SELECT u.day, u.n FROM gold.b_up u JOIN gold.z_day z ON z.day = u.day"),
        b_up=model(up, HEADER + "inputs: {gold.z_day: {mapping: {day: day}}}\n"),
        z_day=model(day),
    )
    assert list(plans) == ["z_day", "b_up", "a_top"]
    assert plans["b_up"]["sql"] == "SELECT d.day, d.n + 1 AS n FROM gold__z_day d"
    assert plans["b_up"]["inputs"][0]["view"] == "gold__z_day"
    assert plans["a_top"]["column_lineage"]["n"] == [source("b_up", "n", "IDENTITY", "gold")]


def test_dependency_order_is_stable() -> None:
    assert dependency_order({"c": [], "a": ["c"], "b": []}) == ["b", "c", "a"]


def test_a_cycle_is_named(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        a=model("SELECT x.day FROM gold.b x"),
        b=model("SELECT x.day FROM gold.a x"),
    )
    assert len(problems) == 1
    assert "a -> b -> a" in problems[0] or "b -> a -> b" in problems[0]


def test_a_broken_input_is_told_once(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        a=model("SELECT x.day, x.nope FROM silver.orders x"),
        b=model("SELECT x.day FROM gold.a x"),
    )
    assert len(problems) == 1
    assert problems[0].startswith("models/a.sql: sql: Unknown column: nope")


# --- Mappings ---------------------------------------------------------------------------------

PROVEN = [
    "SELECT o.day, sum(o.amount) AS a FROM silver.orders o GROUP BY o.day",
    "SELECT o.day, o.id FROM silver.orders o WHERE o.amount > 3",
    "SELECT o.day, s.city, count(*) AS n FROM silver.orders o LEFT JOIN silver.shops s USING (shop) GROUP BY 1, 2",
    "SELECT i.day, sum(o.amount) AS a FROM silver.orders o JOIN silver.items i ON i.day = o.day GROUP BY i.day",
    "SELECT i.day, sum(o.amount) AS a FROM silver.items i LEFT JOIN silver.orders o ON i.day = o.day GROUP BY i.day",
    "SELECT i.day, o.id FROM silver.orders o RIGHT JOIN silver.items i ON i.day = o.day",
    "SELECT i.day, i.n FROM silver.items i LEFT SEMI JOIN silver.orders o ON i.day = o.day",
    "SELECT o.day, o.id FROM silver.orders o, silver.items i WHERE o.day = i.day",
    "SELECT o.day, row_number() OVER (PARTITION BY o.day, o.shop ORDER BY o.id) AS r FROM silver.orders o",
    "SELECT DISTINCT o.day, o.shop FROM silver.orders o",
    "SELECT o.day FROM silver.orders o UNION SELECT i.day FROM silver.items i",
    "WITH a AS (SELECT day AS d, sum(amount) AS s FROM silver.orders GROUP BY day) SELECT a.d AS day, a.s FROM a",
    """WITH a AS (SELECT day, shop, sum(amount) AS s FROM silver.orders GROUP BY day, shop)
    SELECT o.day, o.id, o.amount / a.s AS share FROM silver.orders o
    JOIN a ON a.day = o.day AND a.shop = o.shop""",
    "SELECT o.day, t AS tag FROM silver.orders o LATERAL VIEW explode(o.tags) x AS t",
    "SELECT a.day, b.id FROM silver.orders a JOIN silver.orders b ON a.day = b.day",
]


@pytest.mark.parametrize("sql", PROVEN)
def test_a_mapping_that_holds(tmp_path: Path, sql: str) -> None:
    plan = compiled(tmp_path, m=model(sql, HEADER + BY_DAY))["m"]
    assert plan["inputs"][0]["mapping"] == {"day": "day"} or plan["inputs"][1]["mapping"] == {"day": "day"}


@pytest.mark.parametrize("sql", PROVEN)
def test_what_is_proven_is_true(sql: str) -> None:
    """The proof against the thing itself: each day computed from its own rows equals that day of the whole."""
    connection = duckdb.connect()
    connection.execute("SELECT setseed(0.5)")
    for statement in DATA:
        connection.execute(statement)
    whole = rows_of(connection, sql, "true")
    assert len({row[0] for row in whole}) > 5
    for day in sorted({row[0] for row in whole}):
        alone = rows_of(connection, sql, f"day = DATE '{day}'")
        assert [row for row in alone if row[0] == day] == [row for row in whole if row[0] == day]


def rows_of(connection: duckdb.DuckDBPyConnection, sql: str, where: str) -> list[tuple[Any, ...]]:
    """The rows of a model (its first column is the day) over the orders that meet a condition."""
    connection.execute(f"CREATE OR REPLACE VIEW silver.orders AS SELECT * FROM everything WHERE {where}")
    (statement,) = sqlglot.transpile(sql, read="spark", write="duckdb")
    return sorted(connection.execute(statement).fetchall(), key=repr)


DATA = (
    "CREATE SCHEMA silver",
    """CREATE TABLE everything AS SELECT i AS id, 's' || (random() * 3)::int AS shop,
    DATE '2024-05-01' + (random() * 9)::int AS day, TIMESTAMP '2024-05-01' + INTERVAL (i) HOUR AS at,
    (random() * 100)::int AS amount, ['a', 'b', 's' || (i % 3)] AS tags FROM range(200) t(i)""",
    "CREATE TABLE silver.shops AS SELECT 's' || i AS shop, 'c' || (i % 2) AS city, DATE '2024-01-01' AS opened FROM range(3) t(i)",
    "CREATE TABLE silver.items AS SELECT i AS id, DATE '2024-04-28' + (i % 11)::int AS day, (i * 7 % 5)::int AS n FROM range(40) t(i)",
)


REFUSED = [
    ("SELECT o.day + INTERVAL 1 DAY AS day FROM silver.orders o", "need not be the 'day'"),
    ("SELECT max(o.day) AS day, o.shop FROM silver.orders o GROUP BY o.shop", "an aggregate does not group by"),
    ("SELECT i.day, o.id FROM silver.orders o JOIN silver.items i ON i.id = o.id", "need not be the 'day'"),
    ("SELECT i.day, o.id FROM silver.orders o LEFT JOIN silver.items i ON i.day = o.day", "need not be the 'day'"),
    ("SELECT o.day, o.id FROM silver.items i LEFT JOIN silver.orders o ON i.day = o.day", "need not be the 'day'"),
    ("SELECT i.day, o.id FROM silver.orders o FULL JOIN silver.items i ON i.day = o.day", "need not be the 'day'"),
    ("SELECT o.day, sum(o.amount) OVER (PARTITION BY o.shop ORDER BY o.day) AS s FROM silver.orders o", "a window is not partitioned by"),
    ("SELECT o.day, lag(o.amount) OVER (ORDER BY o.at) AS s FROM silver.orders o", "a window is not partitioned by"),
    ("SELECT o.day, count(*) AS n FROM silver.orders o GROUP BY ROLLUP (o.day)", "an aggregate does not group by"),
    ("SELECT o.day, count(*) AS n FROM silver.orders o GROUP BY o.day WITH ROLLUP", "makes totals over several"),
    ("SELECT i.day, (SELECT max(o.amount) FROM silver.orders o) AS m FROM silver.items i", "is read in a subquery"),
    ("SELECT i.day FROM silver.items i WHERE i.day IN (SELECT o.day FROM silver.orders o)", "is read in a subquery"),
    ("SELECT a.day, b.id FROM silver.orders a JOIN silver.orders b ON a.shop = b.shop", "need not be the 'day'"),
    ("WITH t AS (SELECT sum(amount) AS s FROM silver.orders) SELECT o.day, o.amount / t.s AS x FROM silver.orders o CROSS JOIN t", "an aggregate does not group by"),
    ("WITH s AS (SELECT DISTINCT shop FROM silver.orders) SELECT i.day, s.shop FROM silver.items i CROSS JOIN s", "a DISTINCT does not hold"),
    ("SELECT o.day FROM silver.orders o UNION ALL SELECT x.opened FROM silver.shops x JOIN silver.orders p ON p.shop = x.shop", "need not be the 'day'"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "why"), REFUSED)
def test_a_mapping_that_cannot_be_shown_to_hold(tmp_path: Path, sql: str, why: str) -> None:
    (problem,) = problems_of(tmp_path, m=model(sql, HEADER + BY_DAY))
    assert problem.startswith("models/m.sql: header.inputs.silver.orders.mapping: cannot be kept: ")
    assert why in problem


def test_every_mapped_column_must_hold(tmp_path: Path) -> None:
    header = (
        "description: d\nkeys: [day]\npartition_by: [day, shop]\n"
        "inputs: {silver.orders: {mapping: {day: day, shop: shop}}}\n"
    )
    good = "SELECT o.day, o.shop, count(*) AS n FROM silver.orders o GROUP BY o.day, o.shop"
    bad = "SELECT o.day, max(o.shop) AS shop FROM silver.orders o GROUP BY o.day"
    assert compiled(tmp_path, m=model(good, header))["m"]["inputs"][0]["mapping"] == {
        "day": "day",
        "shop": "shop",
    }
    (problem,) = problems_of(tmp_path, m=model(bad, header))
    assert "an aggregate does not group by the mapped column" in problem


def test_the_date_of_a_time_stays_in_its_day(tmp_path: Path) -> None:
    plans: dict[str, DatasetPlan] = {"events": silver("events", {"at": "timestamp", "n": "int"}, "at")}
    plans["events"]["partition_by"] = [{"column": "at", "transform": "day"}]
    header = HEADER + "inputs: {silver.events: {mapping: {at: day}}}\n"
    sql = "SELECT to_date(e.at) AS day, sum(e.n) AS n FROM silver.events e GROUP BY to_date(e.at)"
    (tmp_path / "m.sql").write_text(model(sql, header))
    assert compile_models(tmp_path, plans)["m"]["inputs"][0]["mapping"] == {"at": "day"}
    (tmp_path / "m.sql").write_text(model(sql.replace("to_date(e.at)", "trunc(e.at, 'MM')"), header))
    with pytest.raises(DefinitionError, match="cannot be kept"):
        compile_models(tmp_path, plans)


# --- Mistakes ---------------------------------------------------------------------------------

SQL = "SELECT o.day FROM silver.orders o"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SQL, "header: is missing. Begin the file with /* and YAML: description, keys, inputs."),
        (model(SQL, "keys: [day]\n"), "header.description: field required."),
        (model(SQL, HEADER + "key: x\n"), "header.key: extra inputs are not permitted. Did you mean 'keys'."),
        (model(SQL, HEADER + "timezone: Mars\n"), "header.timezone: 'Mars' is no time zone. Use a name like UTC or America/New_York."),
        (model(SQL, HEADER.replace("keys: [day]", "keys: [dya]")), "header.keys: 'dya' is no column of the result. Did you mean 'day'."),
        (model(SQL, HEADER.replace("by: [day]", "by: [x]")), "header.partition_by: 'x' is no column of the result. Use one of: day."),
        (model(SQL, HEADER + "inputs: {silver.items: {}}\n"), "header.inputs.silver.items: is not read by the SQL. Did you mean 'silver.orders'."),
        (model(SQL, HEADER + "inputs: {silver.orders: {lookback: 2}}\n"), "header.inputs.silver.orders.lookback: means nothing without a mapping. Add the mapping."),
        (model(SQL, HEADER + "inputs: {silver.orders: {mapping: {id: day}}}\n"), "header.inputs.silver.orders.mapping: the input is not partitioned by 'id'. Use one of: day, shop."),
        (model(SQL, "description: d\nkeys: [day]\n" + BY_DAY), "header.inputs.silver.orders.mapping: the model is not partitioned by 'day'. Add partition_by to the header."),
        (model("SELECT * FROM silver.orders"), "sql: selects *. Name the columns: a new one in an input must not change the model."),
        (model("SELECT o.* FROM silver.orders o"), "sql: selects *. Name the columns: a new one in an input must not change the model."),
        (model("SELECT o.day FROM silver.orders o; SELECT 1"), "sql: is not one SELECT. A model is one query; what it yields is the table."),
        (model("INSERT INTO x SELECT 1"), "sql: is not one SELECT. A model is one query; what it yields is the table."),
        (model("DROP TABLE silver.orders"), "sql: is not one SELECT. A model is one query; what it yields is the table."),
        (model("SELECT o.day FROM orders o"), "sql: reads 'orders AS o'. Read silver.<dataset> or gold.<model>."),
        (model("SELECT o.day FROM bronze.orders o"), "sql: reads 'bronze.orders AS o'. Read silver.<dataset> or gold.<model>."),
        (model("SELECT o.day FROM cat.silver.orders o"), "sql: reads 'cat.silver.orders AS o'. Read silver.<dataset> or gold.<model>."),
        (model("SELECT o.day FROM silver.ordres o"), "no dataset has a contract named 'ordres'. Did you mean 'orders'."),
        (model("SELECT o.day FROM gold.nothing o"), "no model is named 'nothing'. Use one of: m."),
        (model("SELECT silver.orders.day FROM silver.orders"), "sql: names 'silver.orders.day'. Give the table an alias and use it."),
        (model("SELECT o.day, o.nope FROM silver.orders o"), "sql: Unknown column: nope. Check the name against the contract or the model it is from."),
        (model("SELECT o._run_id, o.day FROM silver.orders o"), "sql: Unknown column: _run_id. Check the name against the contract or the model it is from."),
        (model("SELECT o.day, o.shop AS Shop FROM silver.orders o"), "sql: yields a column 'Shop'. Name it with AS, in lower case, no _ first."),
        (model("SELECT o.day, o.shop AS day FROM silver.orders o"), "sql: yields two columns 'day'. Rename one of them."),
        (model("SELECT o.day, rand() AS r FROM silver.orders o"), "sql: rand() gives another answer the next time. Take the value from a column."),
        (model("SELECT o.day FROM silver.orders o WHERE o.day < current_date"), "sql: current_date() gives another answer the next time. Take the value from a column."),
        (model("SELECT o.day, now() AS t FROM silver.orders o"), "sql: now() gives another answer the next time. Take the value from a column."),
        (model("SELECT o.day, uuid() AS t FROM silver.orders o"), "sql: uuid() gives another answer the next time. Take the value from a column."),
        (model("SELECT o.day, sume(o.amount) AS t FROM silver.orders o"), "sql: Spark has no function 'sume'. Did you mean 'sum'."),
        (model("SELECT o.day FROM silver.orders o LIMIT 3"), "sql: LIMIT keeps other rows each time. Rank by a full order and filter."),
        (model("SELECT o.day FROM silver.orders TABLESAMPLE (3 ROWS) o"), "sql: TABLESAMPLE keeps other rows each time. Rank by a full order and filter."),
        (model("SELECT o.day, first(o.shop) AS s FROM silver.orders o GROUP BY o.day"), "sql: FIRST(o.shop) depends on the order of rows. Use MIN_BY, MAX_BY or SORT_ARRAY(COLLECT_LIST(...))."),
        (model("SELECT day, a FROM (SELECT day, shop, amount FROM silver.orders) PIVOT (max(amount) FOR shop IN ('x' AS a))"), "sql: PIVOT hides where columns come from. Write MAX(value) FILTER (WHERE name = 'x') AS x for each."),
        (model("SELECT day, v FROM (SELECT day, shop, note FROM silver.orders) UNPIVOT (v FOR n IN (shop, note))"), "sql: UNPIVOT hides where columns come from. Write a SELECT for each column, joined by UNION ALL."),
        (model("SELECT 1 AS day"), "sql: reads no table. Read silver.<dataset> or gold.<model>."),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_place_and_remedy(tmp_path: Path, text: str, expected: str) -> None:
    assert problems_of(tmp_path, m=text) == (f"models/m.sql: {expected}",)


def test_a_list_in_order_is_no_matter_of_order(tmp_path: Path) -> None:
    sql = "SELECT o.day, sort_array(collect_set(o.shop)) AS shops FROM silver.orders o GROUP BY o.day"
    assert compiled(tmp_path, m=model(sql))["m"]["columns"] == ["day", "shops"]


def test_the_problems_of_all_models_come_together(tmp_path: Path) -> None:
    bad = model("SELECT o.day, now() AS t, rand() AS u FROM silver.orders o LIMIT 1")
    problems = problems_of(tmp_path, a=bad, b="SELECT 1")
    assert [problem.partition(":")[0] for problem in problems] == ["models/a.sql"] * 3 + ["models/b.sql"]


# --- The sample lake --------------------------------------------------------------------------


def test_the_models_of_the_sample_lake() -> None:
    plans = sample_lake.definitions().models
    shown = {
        name: [each["view"] for each in plan["inputs"] if each["mapping"]] for name, plan in plans.items()
    }
    assert shown == {
        "aircraft_monthly": ["silver__flights"],
        "cancellations": ["silver__flights"],
        "carrier_punctuality_daily": ["silver__flights"],
        "delay_weather": ["silver__flights", "silver__weather"],
        "fleet_use": ["silver__flights"],
        "route_punctuality_daily": ["silver__flights"],
        "carrier_punctuality_monthly": ["gold__carrier_punctuality_daily"],
    }
    assert list(plans)[-1] == "carrier_punctuality_monthly"
    assert plans["carrier_punctuality_daily"]["column_lineage"]["mean_dep_delay"] == [
        source("flights", "dep_delay", "AGGREGATION")
    ]
