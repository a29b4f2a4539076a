"""Athena in the twin: whose permissions count, where results go, and what the catalog's tables look like."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.twin.account import Account, wait_for

BUCKET = "athena-tests"
RESULTS = "athena-tests-results"
DATABASE = "athena_tests"
TEXT = "org.apache.hadoop.mapred.TextInputFormat"
LAZY = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
OPEN_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
JSON = "org.openx.data.jsonserde.JsonSerDe"


@pytest.fixture(scope="module")
def account(twin: dict[str, str]) -> Account:
    account = Account.administrator(twin)
    account.make_bucket(BUCKET)
    account.make_bucket(RESULTS)
    account.client("glue").create_database(DatabaseInput={"Name": DATABASE})
    configuration = {
        "EnforceWorkGroupConfiguration": True,
        "BytesScannedCutoffPerQuery": 10_000_000,
        "ResultConfiguration": {"OutputLocation": f"s3://{RESULTS}/here"},
    }
    account.client("athena").create_work_group(Name="athena-tests", Configuration=configuration)
    make_table(
        account, "trips", {"id": "bigint", "city": "string", "day": "date"}, LAZY, {"field.delim": ","}
    )
    account.put(BUCKET, "trips/a.csv", "id,city,day\n1,Rome,2013-01-01\nx,,2013-99-99\n3\n")
    account.put(BUCKET, "trips/sub/b.csv.gz", gzip.compress(b"id,city,day\n4,Oslo,2013-01-04,more\n"))
    account.put(BUCKET, "trips/_SUCCESS", "no,data,here\n")
    return account


def make_table(
    account: Account,
    name: str,
    columns: dict[str, str],
    serde: str,
    parameters: dict[str, str],
    keys: dict[str, str] | None = None,
) -> None:
    account.client("glue").create_table(
        DatabaseName=DATABASE,
        TableInput={
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"skip.header.line.count": "1"},
            "PartitionKeys": [{"Name": key, "Type": kind} for key, kind in (keys or {}).items()],
            "StorageDescriptor": {
                "Columns": [{"Name": column, "Type": kind} for column, kind in columns.items()],
                "Location": f"s3://{BUCKET}/{name}/",
                "InputFormat": TEXT,
                "SerdeInfo": {"SerializationLibrary": serde, "Parameters": parameters},
            },
        },
    )


def execute(account: Account, sql: str, workgroup: str = "athena-tests", **request: Any) -> dict[str, Any]:
    """Run a query to its end; the execution."""
    athena = account.client("athena")
    started = athena.start_query_execution(
        QueryString=sql, QueryExecutionContext={"Database": DATABASE}, WorkGroup=workgroup, **request
    )

    def finished() -> dict[str, Any] | None:
        execution = athena.get_query_execution(QueryExecutionId=started["QueryExecutionId"])["QueryExecution"]
        return execution if execution["Status"]["State"] not in ("QUEUED", "RUNNING") else None

    return dict(wait_for(finished))


def rows(account: Account, sql: str, workgroup: str = "athena-tests") -> list[list[str | None]]:
    """The rows of a query that succeeds, without the header."""
    execution = execute(account, sql, workgroup)
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    found = account.client("athena").get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    data = [[cell.get("VarCharValue") for cell in row["Data"]] for row in found["ResultSet"]["Rows"]]
    return data[1:] if execution["StatementType"] == "DML" else data


def reason(execution: dict[str, Any]) -> str:
    assert execution["Status"]["State"] == "FAILED"
    return str(execution["Status"]["StateChangeReason"])


def test_text_is_read_as_the_lazy_serde_reads_it(account: Account) -> None:
    """A field that does not fit is null, so is a missing one; a further one is left; empty text is text."""
    assert rows(account, "SELECT * FROM trips ORDER BY id") == [
        ["1", "Rome", "2013-01-01"],
        ["3", None, None],
        ["4", "Oslo", "2013-01-04"],
        [None, "", None],
    ]


def test_quoted_csv_in_registered_partitions_only(account: Account) -> None:
    make_table(
        account, "quoted", {"a": "string", "b": "string"}, OPEN_CSV, {"separatorChar": ";"}, {"day": "date"}
    )
    account.put(BUCKET, "quoted/day=2013-01-01/a.csv", 'a;b\n"x;y";"say ""hi"""\n')
    account.put(BUCKET, "quoted/day=2013-01-02/a.csv", "a;b\nnot;there\n")
    assert rows(account, "SELECT count(*) FROM quoted") == [["0"]]
    found = account.client("glue").get_table(DatabaseName=DATABASE, Name="quoted")["Table"][
        "StorageDescriptor"
    ]
    place = {**found, "Location": f"s3://{BUCKET}/quoted/day=2013-01-01"}
    account.client("glue").create_partition(
        DatabaseName=DATABASE,
        TableName="quoted",
        PartitionInput={"Values": ["2013-01-01"], "StorageDescriptor": place},
    )
    assert rows(account, "SELECT a, day FROM quoted WHERE day = DATE '2013-01-01'") == [["x;y", "2013-01-01"]]
    assert rows(account, "SHOW PARTITIONS quoted") == [["day=2013-01-01"]]


def test_json_lines_by_name_without_case(account: Account) -> None:
    columns = {"id": "int", "name": "string", "deep": "struct<x:int>", "none": "string"}
    make_table(account, "lines", columns, JSON, {})
    account.put(BUCKET, "lines/a.json", '{"ID":1,"Name":"a","deep":{"x":5}}\n{"id2":0,"ID":2}\n')
    assert rows(account, "SELECT id, name, deep, none FROM lines ORDER BY id") == [
        ["1", "a", "{x=5}", None],
        ["2", None, None, None],
    ]


def test_the_catalog_answers_for_itself(account: Account) -> None:
    assert ["trips"] in rows(account, "SHOW TABLES")
    assert rows(account, "SHOW TABLES 'trip*'") == [["trips"]]
    assert [DATABASE] in rows(account, "SHOW DATABASES")
    assert rows(account, "DESCRIBE trips")[0] == ["id", "bigint", ""]
    columns = (
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'athena_tests' "
    )
    assert rows(account, columns + "AND table_name = 'trips' ORDER BY ordinal_position") == [
        ["id", "bigint"],
        ["city", "varchar"],
        ["day", "date"],
    ]
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'athena_tests'"
    assert ["trips"] in rows(account, tables)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "SELECT * FROM nowhere",
            "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.athena_tests.nowhere' does not exist",
        ),
        ("SELECT nothing FROM trips", "COLUMN_NOT_FOUND: Column 'nothing' cannot be resolved"),
        ('SELECT * FROM "trips$snapshots"', "TABLE_NOT_FOUND: line 1:15: Table "),
        ("SELECT * FROM other_catalog.a.b", "CATALOG_NOT_FOUND: line 1:"),
        ("SELECT * FROM trips FOR VERSION AS OF 1", "NOT_SUPPORTED"),
        ("DROP TABLE trips", "NOT_SUPPORTED"),
    ],
)
def test_errors_are_named_as_athena_names_them(account: Account, sql: str, message: str) -> None:
    execution = execute(account, sql)
    assert reason(execution).startswith(message)
    assert execution["Status"]["AthenaError"]["ErrorCategory"] == 2


def test_a_statement_that_cannot_be_parsed_does_not_start(account: Account) -> None:
    with pytest.raises(ClientError) as refused:
        execute(account, "SELEC 1")
    assert refused.value.response["Error"]["Code"] == "InvalidRequestException"


def test_a_workgroup_must_exist_and_be_enabled(account: Account) -> None:
    athena = account.client("athena")
    athena.create_work_group(Name="athena-tests-off", Configuration={})
    athena.update_work_group(WorkGroup="athena-tests-off", State="DISABLED")
    for name, message in (("athena-tests-off", "is disabled"), ("athena-tests-none", "is not found")):
        with pytest.raises(ClientError, match=message):
            execute(account, "SELECT 1", name)


def test_results_lie_where_the_workgroup_says(account: Account) -> None:
    elsewhere = {"OutputLocation": f"s3://{BUCKET}/elsewhere/"}
    execution = execute(
        account, "SELECT 1 AS one, NULL AS nothing, 'a \"b\"' AS text", ResultConfiguration=elsewhere
    )
    location = f"s3://{RESULTS}/here/{execution['QueryExecutionId']}.csv"
    assert execution["ResultConfiguration"]["OutputLocation"] == location
    key = location.removeprefix(f"s3://{RESULTS}/")
    body = account.client("s3").get_object(Bucket=RESULTS, Key=key)["Body"].read().decode()
    assert body == '"one","nothing","text"\n"1",,"a ""b"""\n'


def test_results_tell_types(account: Account) -> None:
    execution = execute(account, "SELECT CAST(1.5 AS decimal(8,2)) AS price, id FROM trips LIMIT 1")
    found = account.client("athena").get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    described = found["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [(c["Name"], c["Type"], c["Precision"], c["Scale"]) for c in described] == [
        ("price", "decimal", 8, 2),
        ("id", "bigint", 19, 0),
    ]


def test_parameters(account: Account) -> None:
    execution = execute(account, "SELECT city FROM trips WHERE id = ?", ExecutionParameters=["4"])
    assert execution["Status"]["State"] == "SUCCEEDED"


def test_a_large_scan_is_cut_off(account: Account) -> None:
    make_table(account, "large", {"a": "string"}, LAZY, {"field.delim": ","})
    account.put(BUCKET, "large/a.csv", b"a\n" + b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 101_000)
    execution = execute(account, "SELECT count(*) FROM large")
    assert execution["Status"]["State"] == "CANCELLED"
    assert execution["Status"]["StateChangeReason"] == "Bytes scanned limit was exceeded"
    assert execution["Statistics"]["DataScannedInBytes"] == 10_100_102


def test_an_answer_is_reused_where_that_is_asked_for(account: Account) -> None:
    """Sources: twin/athena/catalog.py; the table is neither registered nor filtered."""
    sql = "SELECT count(*) AS reused_or_not FROM trips"
    an_hour = {"ResultReuseByAgeConfiguration": {"Enabled": True}}
    first = execute(account, sql, ResultReuseConfiguration=an_hour)
    again = execute(account, sql, ResultReuseConfiguration=an_hour)
    anew = execute(account, sql)
    other = execute(account, sql + " ", ResultReuseConfiguration=an_hour)
    told = [
        each["Statistics"]["ResultReuseInformation"]["ReusedPreviousResult"]
        for each in (first, again, anew, other)
    ]
    assert told == [False, True, False, False]
    assert again["ResultConfiguration"]["OutputLocation"] == first["ResultConfiguration"]["OutputLocation"]
    assert (
        again["Statistics"]["DataScannedInBytes"],
        again["QueryExecutionId"] != first["QueryExecutionId"],
    ) == (0, True)
    athena = account.client("athena")
    seen = [
        athena.get_query_results(QueryExecutionId=each["QueryExecutionId"])["ResultSet"]["Rows"]
        for each in (first, again)
    ]
    assert seen[0] == seen[1]
    none = {"ResultReuseByAgeConfiguration": {"Enabled": True, "MaxAgeInMinutes": 0}}
    late = execute(account, sql, ResultReuseConfiguration=none)
    assert late["Statistics"]["ResultReuseInformation"] == {"ReusedPreviousResult": False}
    account.client("s3").delete_object(
        Bucket=RESULTS, Key=late["ResultConfiguration"]["OutputLocation"].removeprefix(f"s3://{RESULTS}/")
    )
    gone = execute(account, sql, ResultReuseConfiguration=an_hour)
    assert gone["Statistics"]["ResultReuseInformation"] == {"ReusedPreviousResult": False}


ASK = (["athena:StartQueryExecution", "athena:GetQueryExecution"], ["*"])
GET_TABLE = (["glue:GetTable"], ["*"])
READ = (["s3:ListBucket", "s3:GetObject"], [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"])
FIND = (["s3:GetBucketLocation"], [f"arn:aws:s3:::{RESULTS}"])
DEFAULT = (["glue:GetDatabase"], ["arn:aws:glue:us-east-1:000000000000:database/default"])
WRITE = (["s3:PutObject"], [f"arn:aws:s3:::{RESULTS}/*"])


@pytest.mark.parametrize(
    ("name", "statements", "message"),
    [
        (
            "no-table",
            (ASK, DEFAULT, READ, FIND, WRITE),
            "PERMISSION_DENIED: Insufficient permissions to execute the query.",
        ),
        (
            "no-files",
            (ASK, DEFAULT, GET_TABLE, FIND, WRITE),
            "PERMISSION_DENIED: Access denied when reading s3://athena-tests",
        ),
        (
            "no-results",
            (ASK, DEFAULT, GET_TABLE, FIND, READ),
            "PERMISSION_DENIED: Access denied when writing output to url: s3://",
        ),
    ],
)
def test_a_query_has_only_its_callers_permissions(
    account: Account, name: str, statements: tuple[tuple[list[str], list[str]], ...], message: str
) -> None:
    user = account.make_user(f"athena-tests-{name}", *statements)
    assert reason(execute(user, "SELECT count(*) FROM trips")).startswith(message)


def test_a_caller_with_just_what_it_takes_gets_an_answer(account: Account) -> None:
    user = account.make_user("athena-tests-all", ASK, DEFAULT, GET_TABLE, READ, FIND, WRITE)
    assert execute(user, "SELECT count(*) FROM trips")["Status"]["State"] == "SUCCEEDED"


def test_a_caller_who_may_not_look_where_the_results_go_cannot_ask(account: Account) -> None:
    """https://docs.aws.amazon.com/athena/latest/ug/s3-permissions.html"""
    user = account.make_user("athena-tests-nowhere", ASK, DEFAULT, GET_TABLE, READ, WRITE)
    with pytest.raises(ClientError, match=f"Unable to verify/create output bucket {RESULTS}"):
        execute(user, "SELECT count(*) FROM trips")


def test_a_caller_who_may_not_look_at_the_default_database_cannot_ask(account: Account) -> None:
    """https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html"""
    user = account.make_user("athena-tests-no-default", ASK, GET_TABLE, READ, FIND, WRITE)
    with pytest.raises(ClientError, match=r"glue:GetDatabase on .*database/default"):
        execute(user, "SELECT count(*) FROM trips")


def test_results_are_read_as_the_caller(account: Account) -> None:
    """https://docs.aws.amazon.com/athena/latest/APIReference/API_GetQueryResults.html"""
    done = execute(account, "SELECT count(*) FROM trips")["QueryExecutionId"]
    ask = (["athena:GetQueryResults"], ["*"])
    blind = account.make_user("athena-tests-blind", ask)
    with pytest.raises(ClientError, match="AccessDenied"):
        blind.client("athena").get_query_results(QueryExecutionId=done)
    seeing = account.make_user("athena-tests-seeing", ask, (["s3:GetObject"], [f"arn:aws:s3:::{RESULTS}/*"]))
    assert seeing.client("athena").get_query_results(QueryExecutionId=done)["ResultSet"]["Rows"]
