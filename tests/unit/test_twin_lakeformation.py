"""What Lake Formation lets somebody see of a table: cases from AWS's documentation, as a table.

The pages are named in ``twin/lakeformation/decision.py``; the tables and tags below are those of their examples or as
close to them as one small table allows.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from twin.lakeformation.decision import (
    OPEN_TO_IAM,
    Access,
    CellsFilter,
    DatabaseResource,
    FilterResource,
    Grant,
    Resource,
    Rule,
    Table,
    TableResource,
    TagPolicy,
    decide,
    may_create_tables,
)

ANALYST = "arn:aws:iam::000000000000:role/analyst"
GROUP = "000000000000:IAMPrincipals"

ORDERS = Table(
    "sales",
    "orders",
    ("id", "customer_name", "product_type"),
    database_tags={"module": "sales", "classification": "restricted"},
    table_tags={"division": "consumer"},
    column_tags={"id": {"classification": "public"}, "product_type": {"classification": "internal"}},
)
PHARMA = CellsFilter("sales", "orders", "restrict-pharma", "product_type = 'pharma'")
NAMES = CellsFilter("sales", "orders", "names", "product_type = 'pharma'", frozenset({"customer_name"}))
NOT_NAMES = CellsFilter("sales", "orders", "no-names", None, excluded=frozenset({"customer_name"}))
FILTERS = (PHARMA, NAMES, NOT_NAMES)
ORDERS_FILTER = FilterResource("sales", "orders", "restrict-pharma")

ALL_COLUMNS = ("id", "customer_name", "product_type")
NOTHING = Access(describes=False)
SEEN_ONLY = Access(describes=True)


def select(resource: Resource, principal: str = ANALYST, permission: str = "SELECT") -> Grant:
    return Grant(principal, resource, frozenset({permission}))


def tagged(**expression: str) -> TagPolicy:
    return TagPolicy("TABLE", {key: frozenset(values.split("|")) for key, values in expression.items()})


def whole(*columns: str) -> Access:
    return Access(True, columns, (Rule(frozenset(columns), None),))


@pytest.mark.parametrize(
    ("grants", "expected"),
    [
        pytest.param([], NOTHING, id="no grant, no access"),
        pytest.param(
            [select(TableResource("sales", "orders"), "arn:aws:iam::000000000000:role/other")],
            NOTHING,
            id="somebody else's grant",
        ),
        pytest.param([select(TableResource("sales", "orders"))], whole(*ALL_COLUMNS), id="select on a table"),
        pytest.param(
            [select(TableResource("sales", "orders"), permission="ALL")],
            whole(*ALL_COLUMNS),
            id="super holds select",
        ),
        pytest.param(
            [select(TableResource("sales", None))],
            whole(*ALL_COLUMNS),
            id="select on all tables of a database",
        ),
        pytest.param([select(TableResource("sales", "returns"))], NOTHING, id="another table"),
        pytest.param([select(TableResource("hr", None))], NOTHING, id="another database"),
        pytest.param(
            [select(TableResource("sales", "orders"), permission="DESCRIBE")],
            SEEN_ONLY,
            id="describe shows no row",
        ),
        pytest.param(
            [select(TableResource("sales", "orders"), permission="INSERT")],
            SEEN_ONLY,
            id="insert shows the table, no row",
        ),
        pytest.param(
            [select(DatabaseResource("sales"), permission="DESCRIBE")],
            NOTHING,
            id="a database's grant says nothing of its tables",
        ),
        pytest.param(
            [select(TableResource("sales", "orders", frozenset({"id", "gone"})))],
            whole("id"),
            id="included columns",
        ),
        pytest.param(
            [select(TableResource("sales", "orders", excluded=frozenset({"customer_name"})))],
            whole("id", "product_type"),
            id="all columns but some",
        ),
        pytest.param(
            [select(tagged(module="sales"))], whole(*ALL_COLUMNS), id="tags of the database are inherited"
        ),
        pytest.param(
            [select(tagged(division="consumer"))], whole(*ALL_COLUMNS), id="tags of the table are inherited"
        ),
        pytest.param(
            [select(tagged(classification="public"))], whole("id"), id="a column's own value overrides"
        ),
        pytest.param(
            [select(tagged(classification="restricted"))],
            whole("customer_name"),
            id="a column without an own value has the inherited one",
        ),
        pytest.param(
            [select(tagged(classification="public|internal"))],
            whole("id", "product_type"),
            id="values of a key are joined by or",
        ),
        pytest.param(
            [select(tagged(module="sales", division="commercial"))], NOTHING, id="keys are joined by and"
        ),
        pytest.param(
            [select(tagged(module="sales", division="consumer|commercial"))],
            whole(*ALL_COLUMNS),
            id="module=sales AND division=(consumer OR commercial)",
        ),
        pytest.param(
            [select(tagged(region="west"))], NOTHING, id="a key that the resource does not carry does not fit"
        ),
        pytest.param(
            [select(TagPolicy("DATABASE", {"module": frozenset({"sales"})}))],
            NOTHING,
            id="a policy over databases shows no table",
        ),
        pytest.param(
            [select(tagged(classification="restricted"), permission="DESCRIBE")],
            SEEN_ONLY,
            id="describe by tags",
        ),
        pytest.param(
            [select(ORDERS_FILTER)],
            Access(True, ALL_COLUMNS, (Rule(frozenset(ALL_COLUMNS), "product_type = 'pharma'"),)),
            id="row filter: all columns of some rows",
        ),
        pytest.param(
            [select(FilterResource("sales", "orders", "names"))],
            Access(
                True, ("customer_name",), (Rule(frozenset({"customer_name"}), "product_type = 'pharma'"),)
            ),
            id="cell filter: some columns of some rows",
        ),
        pytest.param(
            [select(FilterResource("sales", "orders", "no-names"))],
            whole("id", "product_type"),
            id="column filter: all columns but some, all rows",
        ),
        pytest.param(
            [select(FilterResource("sales", "orders", "gone"))], SEEN_ONLY, id="a filter that is not there"
        ),
        pytest.param(
            [select(FilterResource("sales", "returns", "restrict-pharma"))],
            NOTHING,
            id="another table's filter",
        ),
    ],
)
def test_one_grant(grants: Iterable[Grant], expected: Access) -> None:
    assert decide({ANALYST}, ORDERS, grants, FILTERS) == expected


def test_several_grants_add_up() -> None:
    grants = [select(tagged(classification="public")), select(tagged(classification="internal"))]
    access = decide({ANALYST}, ORDERS, grants, FILTERS)
    assert access.columns == ("id", "product_type")
    assert access.rules == (Rule(frozenset({"id"}), None), Rule(frozenset({"product_type"}), None))
    assert not access.whole_rows  # each rule shows every row, none shows both columns


def test_a_tag_grant_beside_a_row_filter_shows_all_rows() -> None:
    """Why nobody with a row filter may hold a tag grant on the same table."""
    access = decide({ANALYST}, ORDERS, [select(ORDERS_FILTER), select(tagged(module="sales"))], FILTERS)
    assert access.whole_rows
    assert Rule(frozenset(ALL_COLUMNS), None) in access.rules


def test_two_filters_show_the_rows_of_both() -> None:
    other = CellsFilter("sales", "orders", "toys", "product_type = 'toys'", frozenset({"id"}))
    grants = [select(ORDERS_FILTER), select(FilterResource("sales", "orders", "toys"))]
    access = decide({ANALYST}, ORDERS, grants, [*FILTERS, other])
    assert access.columns == ALL_COLUMNS
    assert access.rules == (
        Rule(frozenset(ALL_COLUMNS), "product_type = 'pharma'"),
        Rule(frozenset({"id"}), "product_type = 'toys'"),
    )


def test_a_group_the_caller_is_in_counts() -> None:
    grants = [select(TableResource("sales", "orders"), GROUP)]
    assert decide({ANALYST, GROUP}, ORDERS, grants, ()) == whole(*ALL_COLUMNS)
    assert decide({ANALYST}, ORDERS, grants, ()) == NOTHING


def test_the_default_open_grant_makes_every_restriction_void() -> None:
    grants = [select(ORDERS_FILTER), select(TableResource("sales", "orders"), OPEN_TO_IAM, "ALL")]
    assert decide({ANALYST}, ORDERS, grants, FILTERS).whole_rows


def test_an_administrator_sees_that_the_table_is_there_and_no_row() -> None:
    assert decide({ANALYST}, ORDERS, [], (), administrators={ANALYST}) == SEEN_ONLY


def test_a_new_column_of_a_database_that_is_born_restricted_is_closed() -> None:
    grown = Table(
        "sales",
        "orders",
        (*ALL_COLUMNS, "added"),
        ORDERS.database_tags,
        ORDERS.table_tags,
        ORDERS.column_tags,
    )
    grants = [select(tagged(classification="public|internal"))]
    assert decide({ANALYST}, grown, grants, ()).columns == ("id", "product_type")


SALES = DatabaseResource("sales")
MODULE = TagPolicy("DATABASE", {"module": frozenset({"sales", "stock"})})


@pytest.mark.parametrize(
    ("given", "may"),
    [
        ([], False),
        ([select(SALES, permission="DESCRIBE")], False),
        ([select(SALES, permission="CREATE_TABLE")], True),
        ([select(SALES, permission="ALL")], True),
        ([select(SALES, OPEN_TO_IAM, "ALL")], True),
        ([select(DatabaseResource("stock"), permission="CREATE_TABLE")], False),
        ([select(MODULE, permission="CREATE_TABLE")], True),
        ([select(TagPolicy("DATABASE", {"module": frozenset({"stock"})}), permission="CREATE_TABLE")], False),
        # A grant on tables says nothing about those that are not there.
        ([select(tagged(module="sales"), permission="ALL")], False),
        ([select(SALES, GROUP, "CREATE_TABLE")], True),
        ([select(SALES, "arn:aws:iam::000000000000:role/other", "CREATE_TABLE")], False),
    ],
)
def test_who_may_make_a_table_in_a_database(given: list[Grant], may: bool) -> None:
    tags = {"module": "sales"}
    assert may_create_tables({ANALYST, GROUP}, "sales", tags, given) is may
    assert may_create_tables({ANALYST, GROUP}, "sales", tags, given, {ANALYST}) is True
