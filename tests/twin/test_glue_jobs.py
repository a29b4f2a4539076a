"""Glue jobs in the twin: real Spark as the job's role, and nothing on the machine that Glue has not."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.twin.account import Account, wait_for

BUCKET = "job-tests-operations"
DATA = "job-tests-data"
CATALOG = "spark.sql.catalog.glue_catalog"
CONF = " --conf ".join(
    [
        "spark.sql.extensions=org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        f"{CATALOG}=org.apache.iceberg.spark.SparkCatalog",
        f"{CATALOG}.catalog-impl=org.apache.iceberg.aws.glue.GlueCatalog",
        f"{CATALOG}.io-impl=org.apache.iceberg.aws.s3.S3FileIO",
        f"{CATALOG}.warehouse=s3://{DATA}/tables",
    ]
)
SCRIPT = """
import importlib.util, json, os, sys, time
import boto3
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

options = getResolvedOptions(sys.argv, ["JOB_NAME", "mode", "own"])
if options["mode"] == "fail":
    raise ValueError("it went wrong\\nand this is not told")
if options["mode"] == "sleep":
    time.sleep(120)
import library
glue = GlueContext(SparkContext.getOrCreate())
job = Job(glue)
job.init(options["JOB_NAME"], options)
spark = glue.spark_session
rows = spark.read.option("header", "true").csv("s3://job-tests-operations/in/rows.csv")
table = "glue_catalog.job_tests." + options["mode"]
spark.sql(f"CREATE TABLE {table} (id BIGINT) USING iceberg TBLPROPERTIES ('format-version'='2')")
rows.selectExpr("CAST(id AS BIGINT) id").writeTo(table).append()
print(json.dumps({
    "options": options,
    "rows": spark.table(table).count(),
    "library": library.NAME,
    "who": boto3.client("sts").get_caller_identity()["Arn"],
    "foreign": [name for name in ("duckdb", "pydantic", "pyarrow", "twin") if importlib.util.find_spec(name)],
    "directory": os.getcwd(),
}))
job.commit()
"""


@pytest.fixture(scope="module")
def account(twin: dict[str, str]) -> Account:
    account = Account.administrator(twin)
    for bucket in (BUCKET, DATA, "job-tests-closed"):
        account.make_bucket(bucket)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("library.py", "NAME = 'from the zip'\n")
    account.put(BUCKET, "library.zip", archive.getvalue())
    account.put(BUCKET, "job.py", SCRIPT)
    account.put(BUCKET, "in/rows.csv", "id\n1\n2\n")
    account.client("glue").create_database(
        DatabaseInput={"Name": "job_tests", "LocationUri": f"s3://{DATA}/tables"}
    )
    read = (["s3:GetObject", "s3:ListBucket"], [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"])
    tables = (["glue:GetDatabase", "glue:GetTable", "glue:CreateTable", "glue:UpdateTable"], ["*"])
    write = (["s3:GetObject", "s3:PutObject"], [f"arn:aws:s3:::{DATA}/*"])
    make_job(account, "works", account.make_glue_role("job-tests-writer", read, tables, write))
    make_job(account, "denied", account.make_glue_role("job-tests-reader", read, tables))
    return account


def make_job(account: Account, name: str, role: str, **changes: str) -> None:
    account.client("glue").create_job(
        Name=f"job-tests-{name}",
        Role=role,
        GlueVersion="5.1",
        Command={"Name": "glueetl", "ScriptLocation": f"s3://{BUCKET}/job.py", "PythonVersion": "3"},
        ExecutionProperty={"MaxConcurrentRuns": 2},
        WorkerType="G.1X",
        NumberOfWorkers=2,
        Timeout=7,
        DefaultArguments={
            "--conf": CONF,
            "--datalake-formats": "iceberg",
            "--extra-py-files": f"s3://{BUCKET}/library.zip",
            "--mode": "default",
            "--own": "default",
            **changes,
        },
    )


def start(account: Account, job: str, mode: str, **request: Any) -> str:
    arguments = {"--mode": mode, **request.pop("Arguments", {})}
    glue = account.client("glue")
    return str(glue.start_job_run(JobName=f"job-tests-{job}", Arguments=arguments, **request)["JobRunId"])


def look(account: Account, job: str, run_id: str) -> dict[str, Any]:
    return dict(account.client("glue").get_job_run(JobName=f"job-tests-{job}", RunId=run_id)["JobRun"])


def ended(account: Account, job: str, run_id: str) -> dict[str, Any]:
    def finished() -> dict[str, Any] | None:
        run = look(account, job, run_id)
        return run if run["JobRunState"] not in ("STARTING", "RUNNING", "STOPPING") else None

    return dict(wait_for(finished))


def log_lines(account: Account, group: str, run_id: str) -> list[str]:
    events = account.client("logs").get_log_events(logGroupName=group, logStreamName=run_id)["events"]
    return [event["message"] for event in events]


def test_runs_the_script_as_the_jobs_role_and_tells_it(account: Account) -> None:
    queue = watch_events(account)
    run = ended(
        account,
        "works",
        start(
            account, "works", "first", Arguments={"--custom-logGroup-prefix": "/job-tests", "--own": "mine"}
        ),
    )
    assert (run["JobRunState"], run.get("ErrorMessage")) == ("SUCCEEDED", None)
    assert run["Arguments"]["--own"] == "mine"
    assert run["CompletedOn"] >= run["StartedOn"]
    told = json.loads(log_lines(account, "/job-tests/output", run["Id"])[-1])
    assert told["options"]["own"] == "mine"
    assert told["rows"] == 2
    assert told["library"] == "from the zip"
    assert told["who"] == "arn:aws:sts::000000000000:assumed-role/job-tests-writer/GlueJobRunnerSession"
    assert told["foreign"] == []
    events = wait_for(lambda: account.client("sqs").receive_message(QueueUrl=queue).get("Messages"))
    detail = json.loads(events[0]["Body"])["detail"]
    assert detail == {
        "jobName": "job-tests-works",
        "severity": "INFO",
        "state": "SUCCEEDED",
        "jobRunId": run["Id"],
        "message": "Job run succeeded",
    }


def watch_events(account: Account) -> str:
    """The address of a queue that receives Glue's job events."""
    sqs, events = account.client("sqs"), account.client("events")
    url = sqs.create_queue(QueueName="job-tests-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
            }
        ],
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(allowed)})
    mine = {"jobName": ["job-tests-works"]}
    pattern = {"source": ["aws.glue"], "detail-type": ["Glue Job State Change"], "detail": mine}
    events.put_rule(Name="job-tests", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="job-tests", Targets=[{"Id": "queue", "Arn": arn}])
    return str(url)


def test_a_denied_write_fails_in_spark(account: Account) -> None:
    run = ended(account, "denied", start(account, "denied", "denied"))
    assert run["JobRunState"] == "FAILED"
    assert "S3Exception" in run["ErrorMessage"]
    text = "\n".join(log_lines(account, "/aws-glue/jobs/error", run["Id"]))
    assert "job-tests-reader/GlueJobRunnerSession is not authorized to perform: s3:PutObject" in text


def test_an_error_is_told_by_its_first_line(account: Account) -> None:
    run = ended(account, "works", start(account, "works", "fail"))
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", "ValueError: it went wrong")


def test_limits_stops_and_times_out(account: Account) -> None:
    late = start(account, "works", "sleep", Timeout=0.2)
    stopped = start(account, "works", "sleep")
    with pytest.raises(ClientError) as refused:
        start(account, "works", "sleep")
    assert refused.value.response["Error"]["Code"] == "ConcurrentRunsExceededException"
    wait_for(lambda: look(account, "works", stopped)["JobRunState"] == "RUNNING")
    answer = account.client("glue").batch_stop_job_run(
        JobName="job-tests-works", JobRunIds=[stopped, "jr_none"]
    )
    assert [entry["JobRunId"] for entry in answer["SuccessfulSubmissions"]] == [stopped]
    assert answer["Errors"][0]["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"
    assert ended(account, "works", stopped)["JobRunState"] == "STOPPED"
    assert ended(account, "works", late)["JobRunState"] == "TIMEOUT"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"--scriptLocation": f"s3://{BUCKET}/none.py"}, f"Cannot read s3://{BUCKET}/none.py: NoSuchKey"),
        (
            {"--extra-py-files": "s3://job-tests-closed/x.zip"},
            "Cannot read s3://job-tests-closed/x.zip: AccessDenied",
        ),
        ({"--datalake-formats": "hudi"}, "Iceberg's classes need the argument --datalake-formats: iceberg."),
        ({"--conf": "spark.sql.extensions"}, "The --conf setting spark.sql.extensions has no value."),
    ],
)
def test_what_cannot_begin_says_why(account: Account, arguments: dict[str, str], message: str) -> None:
    run = ended(account, "works", start(account, "works", "never", Arguments=arguments))
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", f"LAUNCH ERROR | {message}")
    assert run["Timeout"] == 7, "a run that names no time of its own has the job's"


def test_a_role_that_does_not_trust_glue_cannot_run_a_job(account: Account) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    iam = account.client("iam")
    role = iam.create_role(RoleName="job-tests-foreign", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    make_job(account, "foreign", role["Arn"])
    run = ended(account, "foreign", start(account, "foreign", "never"))
    assert run["JobRunState"] == "FAILED"
    assert "glue.amazonaws.com" in run["ErrorMessage"]


def test_what_the_twin_does_not_do_is_refused(account: Account) -> None:
    glue = account.client("glue")
    role = "arn:aws:iam::000000000000:role/job-tests-writer"
    glue.create_job(
        Name="job-tests-shell", Role=role, Command={"Name": "pythonshell", "ScriptLocation": "s3://x/y"}
    )
    with pytest.raises(ClientError, match="glueetl jobs only"):
        glue.start_job_run(JobName="job-tests-shell")
    with pytest.raises(ClientError, match="not found"):
        glue.start_job_run(JobName="job-tests-none")
