"""What a role has to do that no other test of the tier comes to: the product's own code, run as that role."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import boto3
import pytest

from lakehouse import bronze, freshness, reconcile, recover, writers
from lakehouse.adapters import connect as adapters
from lakehouse.adapters.bronze_catalog import connect_landing
from lakehouse.adapters.iceberg_io import Catalog
from lakehouse.claim import find_plan
from lakehouse.errors import ObjectMissing
from lakehouse.governing import Governor
from lakehouse.lake import Execution
from lakehouse.lake import Lake as CoreLake
from lakehouse.ledger import ObjectVersion, head_key, lease_key, pending_key, run_key, version_key
from lakehouse.lineage import record_silver
from lakehouse.payloads import ClaimResult, ReconcileRequest, RunRequest
from lakehouse.plan import targets_of
from lakehouse.store import Delete, Update
from lakehouse.words import (
    CLAIMED,
    MANIFEST_FILE,
    PENDING,
    DatasetPlan,
    GovernancePlan,
    Manifest,
    RowFilter,
    SilverReport,
    run_prefix,
)
from tests.twin.account import Account, wait_for
from tests.twin.lake import STACK, TwinLake
from tests.twin.roles import acting_as, roles
from tests.twin.topic import failure_messages

RARE = "rare"
"""Of everything made here: no dataset has that name."""


@contextmanager
def account_of(deployed: TwinLake, twin: dict[str, str], role: str) -> Iterator[Account]:
    """The account as a session of a role sees it."""
    with acting_as(Account.administrator(twin), dict(roles(deployed))[role]) as who:
        yield who


@contextmanager
def core_of(deployed: TwinLake, twin: dict[str, str], role: str) -> Iterator[CoreLake]:
    """The core as a function with that role has it."""
    with account_of(deployed, twin, role) as who:
        # The core asks its session for clients and nothing else.
        yield adapters.connect(deployed.core.settings, cast("boto3.Session", who))


# --- Ending and recovering runs -------------------------------------------------------------------------


def record(lake: CoreLake, number: int, columns: list[str]) -> None:
    """Record a run of a dataset whose contract has these columns."""
    _, flights = find_plan(lake, lake.settings.assets_prefix, "flights")
    of_file = [c for c in flights["columns"] if c["source"] == "file"][: len(columns)]
    named = [{**c, "name": n, "source_name": n} for c, n in zip(of_file, columns, strict=True)]
    plan = cast("DatasetPlan", {**flights, "dataset": RARE, "hash": f"{number}", "columns": named})
    run_id = f"{RARE}-{number}"
    manifest: Manifest = {"run_id": run_id, "dataset": RARE, "assets_prefix": "", "files": []}
    nothing = {"snapshot_id": 0, "rows_added": 0, "rows_deleted": 0, "columns": []}
    table = {**nothing, "table": RARE, "snapshot_id": number, "columns": [{"name": n} for n in columns]}
    report: SilverReport = {  # type: ignore[typeddict-item]
        "run_id": run_id,
        "dataset": RARE,
        "plan_hash": plan["hash"],
        "silver": table,
        "quarantine": {**nothing, "table": f"{RARE}__quarantine"},
        "files": [],
        "rules": [],
    }
    record_silver(
        lake, RunRequest(run_id=run_id, writer=f"promote:{RARE}", dataset=RARE), manifest, plan, report
    )


def sources(lake: CoreLake, column: str) -> list[str]:
    """Where a column of the rare table comes from."""
    return [edge["sk"] for edge in lake.lineage.query(f"COLUMN#silver.{RARE}.{column}", begins="FROM#")]


@pytest.mark.parametrize("role", ["CompleteFunctionRole", "RecoverFunctionRole", "SweepFunctionRole"])
def test_whoever_ends_a_run_takes_away_what_a_changed_contract_no_longer_has(
    deployed: TwinLake, twin: dict[str, str], role: str
) -> None:
    with core_of(deployed, twin, role) as lake:
        record(lake, 1, ["kept", "gone"])
        assert [sources(lake, "kept"), sources(lake, "gone")] == [
            [f"FROM#bronze.{RARE}.kept"],
            [f"FROM#bronze.{RARE}.gone"],
        ]
        record(lake, 2, ["kept"])
        assert [sources(lake, "kept"), sources(lake, "gone")] == [[f"FROM#bronze.{RARE}.kept"], []]


def test_whoever_recovers_a_run_stops_its_job_and_two_may_do_so(
    deployed: TwinLake, twin: dict[str, str]
) -> None:
    """A job that nobody waits for any more, at its first file."""
    glue, job, began = deployed.client("glue"), f"{STACK}-silver", datetime.now(UTC) - timedelta(minutes=1)
    deployed.arm(role="SilverJobRole", service="s3", call="GET", when="before", effect="hold")
    started = glue.start_job_run(JobName=job, Arguments={"--run_id": RARE})["JobRunId"]
    deployed.until(deployed.fault_fired, "the job has begun", 120)
    for role in ("RecoverFunctionRole", "SweepFunctionRole"):
        with core_of(deployed, twin, role) as lake:
            assert [run.job_run_id for run in lake.jobs.runs(job, RARE, began)] == [started]
            lake.jobs.stop(job, [started])
    deployed.arm_all()

    def state() -> str:
        return str(glue.get_job_run(JobName=job, RunId=started)["JobRun"]["JobRunState"])

    deployed.until(lambda: state() not in {"STARTING", "RUNNING", "STOPPING"}, "the job has ended")
    assert state() == "STOPPED"


@contextmanager
def lost_run(lake: CoreLake, run_id: str) -> Iterator[RunRequest]:
    """A run of one file that claimed it and then was lost; nothing of it is left afterwards."""
    writer, store = f"promote:{RARE}", lake.ledger.store
    version = ObjectVersion(f"{RARE}/{run_id}.csv", "v1", 1, "e", "", "2024-05-01T07:00:00Z")
    lake.ledger.register(version, RARE, lake.stamp(), lambda _: None)
    store.write(Update(version_key(version.key, "v1"), {"state": CLAIMED, "run_id": run_id}))
    taken = {"state": writers.TAKEN, "run_id": run_id, "confirmed": True, "taken_at": lake.stamp()}
    store.write(Update(lease_key(writer), taken, defaults={"writer": writer, "arrivals": 0}))
    file = {"key": version.key, "version_id": "v1", "size_bytes": 1, "replaces": []}
    manifest = {"run_id": run_id, "dataset": RARE, "assets_prefix": "assets/none/", "files": [file]}
    lake.operations.create(run_prefix(writer, run_id) + MANIFEST_FILE, manifest)
    yield RunRequest(run_id=run_id, writer=writer, dataset=RARE)
    pending = pending_key(RARE, version.event_time, version.key, "v1", "")
    version_and_head = (version_key(version.key, "v1"), head_key(version.key))
    for key in (lease_key(writer), run_key(writer, run_id), *version_and_head, pending):
        store.write(Delete(key))


@pytest.mark.parametrize("role", ["RecoverFunctionRole", "SweepFunctionRole"])
def test_whoever_recovers_a_run_that_never_came_to_its_job_lets_its_files_wait(
    deployed: TwinLake, twin: dict[str, str], role: str
) -> None:
    with lost_run(deployed.core, f"{RARE}-{role}") as request, core_of(deployed, twin, role) as lake:
        done = recover.recover(lake, request, Execution("ABORTED", "", ""))
        assert (done.outcome, done.failure_class, done.files) == ("waiting", "ENVIRONMENT", 1)
        assert deployed.state((RARE, f"{RARE}/{request.run_id}.csv", "v1")) == PENDING


@pytest.mark.parametrize("role", ["RecoverFunctionRole", "SweepFunctionRole"])
def test_whoever_recovers_a_run_drops_its_branch(lake: TwinLake, twin: dict[str, str], role: str) -> None:
    database, branch = lake.core.settings.silver_database, f"run_{RARE}"
    table = Catalog(lake.client("glue"), lake.client("s3")).load_table((database, "airlines"))
    head = table.current_snapshot()
    assert head is not None
    with table.manage_snapshots() as snapshots:
        snapshots.create_branch(head.snapshot_id, branch)
    assert branch in lake.branches("airlines")
    with core_of(lake, twin, role) as core:
        assert "airlines" in core.tables.names(database)
        assert core.tables.drop_branch(database, "airlines", branch)
    assert branch not in lake.branches("airlines")


def say(lake: CoreLake) -> None:
    lake.topic.publish(f"{RARE}: writer HELD", "Held because of a test.")


@pytest.mark.parametrize("role", ["RecoverFunctionRole", "SweepFunctionRole"])
def test_whoever_recovers_a_run_tells_people(deployed: TwinLake, twin: dict[str, str], role: str) -> None:
    with failure_messages(deployed) as heard, core_of(deployed, twin, role) as lake:
        say(lake)
        wait_for(lambda: "Held because of a test." in heard())


# --- Taking files in ------------------------------------------------------------------------------------


def meet_twice(lake: CoreLake, key: str) -> list[str]:
    """Register two versions of a key of which nothing tells the order, the second against the first."""
    versions = [ObjectVersion(key, f"v{n}", 1, "e", "", "2024-05-01T07:00:00Z") for n in (1, 2)]
    return [lake.ledger.register(v, RARE, lake.stamp(), lake.bronze.current_version) for v in versions]


@pytest.mark.parametrize("role", ["IntakeFunctionRole", "ReconcileFunctionRole"])
def test_versions_that_cannot_be_ordered_are_looked_up_in_the_bucket(
    deployed: TwinLake, twin: dict[str, str], role: str
) -> None:
    """The key is gone meanwhile, which S3 tells only those who may list."""
    with core_of(deployed, twin, role) as lake:
        assert meet_twice(lake, f"{RARE}/{role}.csv") == ["new", "new"]
    head = deployed.core.ledger.store.get(head_key(f"{RARE}/{role}.csv"))
    assert head is not None
    assert head["version_id"] == "v1"


def test_a_long_comparison_goes_on_in_a_call_of_its_own(lake: TwinLake, twin: dict[str, str]) -> None:
    before = compared(lake)
    with core_of(lake, twin, "ReconcileFunctionRole") as core:
        done = reconcile.run(core, ReconcileRequest(), lambda: False, f"{STACK}-reconcile")
    assert not done.done
    wait_for(lambda: compared(lake) > before)


def compared(lake: TwinLake) -> int:
    """How many comparisons the function has told of."""
    pages = lake.client("logs").get_paginator("filter_log_events")
    group = f"/aws/lambda/{STACK}-reconcile"
    events = [e for page in pages.paginate(logGroupName=group) for e in page["events"]]
    return sum("listing compared" in event["message"] for event in events)


# --- Bronze ---------------------------------------------------------------------------------------------


def test_a_changed_contract_changes_the_bronze_table_or_makes_it_anew(
    deployed: TwinLake, twin: dict[str, str]
) -> None:
    settings, glue = deployed.core.settings, deployed.client("glue")
    place = {"DatabaseName": settings.bronze_database, "Name": RARE}

    def seen() -> tuple[str, list[str]]:
        table = glue.get_table(**place)["Table"]
        return table["Parameters"][bronze.PLAN_HASH], [key["Name"] for key in table["PartitionKeys"]]

    _, flights = find_plan(deployed.core, settings.assets_prefix, "flights")
    plan = {**flights, "dataset": RARE}
    with account_of(deployed, twin, "BronzeFunctionRole") as who:
        landing = connect_landing(settings, cast("boto3.Session", who))
        for changed in ({"hash": "1"}, {"hash": "2"}, {"hash": "3", "path_pattern": "{kind}/*.csv"}):
            bronze.ensure_table(cast("DatasetPlan", {**plan, **changed}), landing.catalog, landing.bucket)
            keys = ["kind"] if "path_pattern" in changed else ["year", "month"]
            assert seen() == (changed["hash"], keys)
    glue.delete_table(**place)


def register_without_plan(who: Account, deployed: TwinLake) -> None:
    """Register the files of a run that has lost its plan."""
    run: dict[str, Any] = {"run_id": RARE, "writer": f"promote:{RARE}", "dataset": RARE, "claimed": 1}
    run |= {"manifest": "runs/rare/none", "report": "", "plan": "assets/rare/none", "assets_prefix": ""}
    run |= {"size_bytes": 1, "crawl": False, "workers": 2, "timeout_minutes": 5}
    landing = connect_landing(deployed.core.settings, cast("boto3.Session", who))
    bronze.register(landing, ClaimResult.model_validate(run))


def test_a_run_whose_plan_is_gone_says_so(deployed: TwinLake, twin: dict[str, str]) -> None:
    """And not that it was refused, as S3 answers who may not list."""
    with account_of(deployed, twin, "BronzeFunctionRole") as who, pytest.raises(ObjectMissing):
        register_without_plan(who, deployed)


def test_freshness_without_assets_says_so(deployed: TwinLake, twin: dict[str, str]) -> None:
    with core_of(deployed, twin, "FreshnessFunctionRole") as lake, pytest.raises(ObjectMissing):
        freshness.read_limits(lake.operations, "assets/rare/")


def test_a_table_without_a_contract_has_the_usual_targets(deployed: TwinLake, twin: dict[str, str]) -> None:
    prefix = deployed.core.settings.assets_prefix
    with core_of(deployed, twin, "MaintainFunctionRole") as lake:
        assert targets_of(lake, f"promote:{RARE}", prefix) == targets_of(
            deployed.core, "promote:rarer", prefix
        )


# --- Governing ------------------------------------------------------------------------------------------


def plan_of(layer: str, columns: dict[str, str], rows: str = "") -> GovernancePlan:
    """A plan for the rare table."""
    own: RowFilter = {
        "name": "own",
        "role": "carrier-ua",
        "table": f"{layer}.{RARE}",
        "rows": rows,
        "columns": None,
    }
    return {
        "plan_version": 1,
        "hash": "",
        "classifications": ["public", "internal", "restricted"],
        "tables": {f"{layer}.{RARE}": {"domain": "aviation", "columns": columns, "closed": True}},
        "row_filters": [own] if rows else [],
    }


def governed(deployed: TwinLake, database: str) -> tuple[dict[str, str], dict[str, str]]:
    """The classification of the rare table's columns, and its filters."""
    lake_formation, account = deployed.client("lakeformation"), deployed.endpoint.account
    resource = {
        "TableWithColumns": {"DatabaseName": database, "Name": RARE, "ColumnNames": ["carrier", "tailnum"]}
    }
    tags = lake_formation.get_resource_lf_tags(Resource=resource, ShowAssignedLFTags=True)
    place = {"CatalogId": account, "DatabaseName": database, "Name": RARE}
    filters = lake_formation.list_data_cells_filter(Table=place).get("DataCellsFilters", [])
    return (
        {
            column["Name"]: tag["TagValues"][0]
            for column in tags.get("LFTagsOnColumns", [])
            for tag in column["LFTags"]
        },
        {each["Name"]: each["RowFilter"]["FilterExpression"] for each in filters},
    )


@pytest.fixture(params=["silver", "gold"])
def layer(request: pytest.FixtureRequest, deployed: TwinLake) -> Iterator[str]:
    """A layer with a rare table in its database."""
    found = str(request.param)
    database = deployed.cli.name(f"{found.capitalize()}DatabaseName")
    columns = [{"Name": name, "Type": "string"} for name in ("carrier", "tailnum")]
    deployed.client("glue").create_table(
        DatabaseName=database, TableInput={"Name": RARE, "StorageDescriptor": {"Columns": columns}}
    )
    yield found
    deployed.client("glue").delete_table(DatabaseName=database, Name=RARE)


def test_the_job_that_makes_a_table_closes_it_and_a_deployment_opens_it(
    deployed: TwinLake, twin: dict[str, str], layer: str
) -> None:
    job = {"silver": "SilverJobRole", "gold": "GoldJobRole"}[layer]
    database = deployed.cli.name(f"{layer.capitalize()}DatabaseName")
    roles_begin = f"arn:aws:iam::{deployed.endpoint.account}:role/{STACK}-"

    def govern(role: str, plan: GovernancePlan) -> tuple[dict[str, str], dict[str, str]]:
        with account_of(deployed, twin, role) as who:
            deploys = role == "AssetsFunctionRole"
            governor = Governor(who.client("lakeformation"), roles_begin, plan, deploys=deploys)
            governor.govern(layer, database, RARE, ["carrier", "tailnum"], loosen=True)
        return governed(deployed, database)

    both = {"carrier": "public", "tailnum": "internal"}
    united = {"own": "carrier = 'UA'"}
    assert govern(job, plan_of(layer, both, united["own"])) == (both, united)
    # A column that its contract no longer names is closed at once, by the database's own tag.
    assert govern(job, plan_of(layer, {"carrier": "public"})) == ({"carrier": "public"}, united)
    american = {"own": "carrier = 'AA'"}
    assert govern("AssetsFunctionRole", plan_of(layer, both, american["own"])) == (both, american)
    assert govern("AssetsFunctionRole", plan_of(layer, {})) == ({}, {})
    assert govern("AssetsFunctionRole", plan_of(layer, {}, united["own"])) == ({}, united)
    assert govern("AssetsFunctionRole", plan_of(layer, {})) == ({}, {})


def test_a_job_that_a_deployment_overtakes_takes_back_what_it_opened(
    deployed: TwinLake, twin: dict[str, str], layer: str
) -> None:
    job = {"silver": "SilverJobRole", "gold": "GoldJobRole"}[layer]
    database = deployed.cli.name(f"{layer.capitalize()}DatabaseName")
    roles_begin = f"arn:aws:iam::{deployed.endpoint.account}:role/{STACK}-"
    looks = iter([True, False])
    with account_of(deployed, twin, job) as who:
        plan = plan_of(layer, {"carrier": "public"}, "carrier = 'UA'")
        governor = Governor(who.client("lakeformation"), roles_begin, plan, is_newest=lambda: next(looks))
        governor.govern(layer, database, RARE, ["carrier", "tailnum"], loosen=True)
    assert [*looks] == []
    columns, filters = governed(deployed, database)
    assert (columns, filters) == ({}, {"own": "carrier = 'UA'"})
    of_filter = {
        "TableCatalogId": deployed.endpoint.account,
        "DatabaseName": database,
        "TableName": RARE,
        "Name": "own",
    }
    listed = deployed.client("lakeformation").list_permissions(Resource={"DataCellsFilter": of_filter})
    assert listed["PrincipalResourcePermissions"] == []
