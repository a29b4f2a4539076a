"""What is put into Lake Formation for a table, against the twin's Lake Formation: once, and never more open than said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore import xform_name

from lakehouse.governing import Governor, NotGoverned
from lakehouse.words import GovernancePlan, RowFilter
from lakehouse_spark.governed import NOT_GOVERNED, Governed, Governing, governed
from twin.lakeformation.decision import Access, Rule, Table, decide
from twin.lakeformation.state import ACTIONS, LakeFormation

ACCOUNT = "123456789012"
ROLES = f"arn:aws:iam::{ACCOUNT}:role/lake-dev-"
DATABASE = "lake_dev_gold"
COLUMNS = ["carrier", "tailnum", "flights"]


@dataclass
class Client:
    """Lake Formation's actions as a boto3 client calls them; ``called`` keeps those that change something."""

    lake: LakeFormation = field(default_factory=lambda: LakeFormation(ACCOUNT))
    called: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        [action] = [action for action in ACTIONS if xform_name(action) == name]

        def call(**request: Any) -> Any:
            if not action.startswith(("Get", "List")):
                self.called.append(action)
            return ACTIONS[action](self.lake, request)

        return call


def plan(**columns: str) -> GovernancePlan:
    return {
        "plan_version": 1,
        "hash": "",
        "classifications": ["public", "internal", "restricted"],
        "tables": {"gold.fleet": {"domain": "aviation", "columns": columns, "closed": True}},
        "row_filters": [],
    }


def filtered(governance: GovernancePlan, rows: str, role: str = "carrier-ua") -> GovernancePlan:
    one: RowFilter = {"name": "own", "role": role, "table": "gold.fleet", "rows": rows, "columns": None}
    return {**governance, "row_filters": [one]}


@pytest.fixture
def client() -> Client:
    client = Client()
    client.create_lf_tag(TagKey="lake-dev:classification", TagValues=["public", "internal", "restricted"])
    client.create_lf_tag(TagKey="lake-dev:domain", TagValues=["aviation", "hr"])
    client.add_lf_tags_to_resource(
        Resource={"Database": {"Name": DATABASE}},
        LFTags=[{"TagKey": "lake-dev:classification", "TagValues": ["restricted"]}],
    )
    client.called.clear()
    return client


def govern(
    client: Client, governance: GovernancePlan, columns: list[str] = COLUMNS, *, deploys: bool = True
) -> list[str]:
    """The changes that governing made."""
    client.called.clear()
    governor = Governor(client, ROLES, governance, deploys=deploys)
    governor.govern("gold", DATABASE, "fleet", columns, loosen=deploys)
    return client.called


def seen(client: Client, role: str = "analyst", *classes: str) -> Access:
    """What somebody with a grant on public columns (or ``classes``) sees of the table."""
    expression = {"lake-dev:classification": frozenset(classes or ("public",))}
    client.grant_permissions(
        Principal={"DataLakePrincipalIdentifier": ROLES + "analyst"},
        Resource={
            "LFTagPolicy": {
                "ResourceType": "TABLE",
                "Expression": [
                    {"TagKey": key, "TagValues": sorted(values)} for key, values in expression.items()
                ],
            }
        },
        Permissions=["SELECT"],
    )
    lake = client.lake
    table = Table(
        DATABASE,
        "fleet",
        tuple(COLUMNS),
        lake.assigned[(DATABASE,)],
        lake.assigned.get((DATABASE, "fleet"), {}),
        {column: lake.assigned.get((DATABASE, "fleet", column), {}) for column in COLUMNS},
    )
    return decide({ROLES + role}, table, lake.listed_grants(), lake.listed_filters())


def tags(client: Client) -> dict[str, str]:
    return {
        key[2]: value["lake-dev:classification"]
        for key, value in client.lake.assigned.items()
        if len(key) == 3 and value
    }


def domain(client: Client) -> str | None:
    return client.lake.assigned.get((DATABASE, "fleet"), {}).get("lake-dev:domain")


def of(name: str | None, **columns: str) -> GovernancePlan:
    governance = plan(**columns)
    governance["tables"]["gold.fleet"]["domain"] = name
    return governance


def test_a_table_that_the_plan_does_not_name_stays_closed(client: Client) -> None:
    governor = Governor(client, ROLES, plan(carrier="public"))
    governor.govern("gold", DATABASE, "other", ["carrier"], loosen=True)
    assert client.called == []
    assert seen(client).columns == ()


def test_columns_are_opened_one_by_one_and_the_rest_is_closed(client: Client) -> None:
    govern(client, plan(carrier="public", flights="internal", gone="public"), deploys=False)
    assert tags(client) == {"carrier": "public", "flights": "internal"}
    assert client.lake.assigned[(DATABASE, "fleet")] == {"lake-dev:domain": "aviation"}
    assert seen(client).columns == ("carrier",)


def test_governing_again_changes_nothing(client: Client) -> None:
    governance = filtered(plan(carrier="public", tailnum="restricted", flights="public"), "carrier = 'UA'")
    assert govern(client, governance) != []
    assert govern(client, governance) == []
    assert govern(client, governance, deploys=False) == []


def test_stricter_tags_come_before_more_open_ones(client: Client) -> None:
    order = []
    original = ACTIONS["AddLFTagsToResource"]

    def spy(lake: LakeFormation, request: dict[str, Any]) -> Any:
        order.append(request["LFTags"][0]["TagValues"][0])
        return original(lake, request)

    ACTIONS["AddLFTagsToResource"] = spy
    try:
        govern(client, plan(carrier="public", tailnum="restricted", flights="internal"))
    finally:
        ACTIONS["AddLFTagsToResource"] = original
    assert order == ["restricted", "internal", "public", "aviation"]


def test_a_run_closes_what_became_classified_and_opens_nothing_that_is_closed(client: Client) -> None:
    govern(client, plan(carrier="public", tailnum="restricted", flights="internal"))
    govern(client, plan(carrier="restricted", tailnum="public", flights="public"), deploys=False)
    assert tags(client) == {"carrier": "restricted", "tailnum": "restricted", "flights": "internal"}


def test_a_run_whose_rows_are_the_plans_opens_what_was_closed(client: Client) -> None:
    govern(client, plan(carrier="restricted", tailnum="public"))
    run = Governor(client, ROLES, plan(carrier="public", tailnum="restricted", flights="public"))
    run.close("gold", DATABASE, "fleet", COLUMNS)
    assert tags(client) == {"carrier": "restricted", "tailnum": "restricted"}
    run.govern("gold", DATABASE, "fleet", COLUMNS, loosen=True)
    assert tags(client) == {"carrier": "public", "tailnum": "restricted", "flights": "public"}


def test_a_run_that_is_overtaken_while_it_opens_what_was_closed_closes_it_again(client: Client) -> None:
    """The deployment has looked at the table before the run opened it, and does not come back."""
    govern(client, plan(carrier="restricted"))
    changes = govern_late(client, plan(carrier="public"), Deployed(2), loosen=True)
    assert changes == ["AddLFTagsToResource", "RemoveLFTagsFromResource"]
    assert tags(client) == {}
    assert seen(client).columns == ()


def test_a_classification_that_a_run_does_not_know_is_kept_as_the_strictest(client: Client) -> None:
    client.update_lf_tag(TagKey="lake-dev:classification", TagValuesToAdd=["secret"])
    later = plan(carrier="secret", tailnum="public")
    later["classifications"] = ["public", "internal", "secret"]
    govern(client, later)
    govern(client, plan(carrier="restricted", tailnum="internal"), deploys=False)
    assert tags(client) == {"carrier": "secret", "tailnum": "internal"}


def test_a_deployment_opens_what_the_contract_opens(client: Client) -> None:
    govern(client, plan(carrier="restricted", tailnum="restricted"))
    govern(client, plan(carrier="public", tailnum="restricted"))
    assert tags(client) == {"carrier": "public", "tailnum": "restricted"}


def test_a_column_that_leaves_the_contract_is_closed(client: Client) -> None:
    govern(client, plan(carrier="public", flights="public"))
    govern(client, plan(carrier="public"), deploys=False)
    assert tags(client) == {"carrier": "public"}
    assert seen(client).columns == ("carrier",)


def test_a_row_filter_shows_its_rows_to_its_role_and_to_nobody_else(client: Client) -> None:
    governance = filtered(plan(carrier="public", tailnum="restricted"), "carrier = 'UA'")
    govern(client, governance, deploys=False)
    assert seen(client, "carrier-ua").rules == (Rule(frozenset(COLUMNS), "carrier = 'UA'"),)
    assert seen(client, "carrier-aa") == Access(describes=False)


def test_a_deployment_changes_a_filter_gives_it_to_another_role_and_takes_it_away(client: Client) -> None:
    governance = plan(carrier="public")
    govern(client, filtered(governance, "carrier = 'UA'"))
    assert govern(client, filtered(governance, "carrier = 'AA'", "carrier-aa")) == [
        "UpdateDataCellsFilter",
        "RevokePermissions",
        "GrantPermissions",
    ]
    assert seen(client, "carrier-ua") == Access(describes=False)
    assert seen(client, "carrier-aa").rules == (Rule(frozenset(COLUMNS), "carrier = 'AA'"),)
    assert govern(client, governance) == ["RevokePermissions", "DeleteDataCellsFilter"]
    assert client.lake.filters == {}


def test_a_run_leaves_filters_that_are_there_alone(client: Client) -> None:
    governance = plan(carrier="public")
    govern(client, filtered(governance, "carrier = 'UA'"))
    assert govern(client, filtered(governance, "true = true"), deploys=False) == []
    assert govern(client, governance, deploys=False) == []


def test_a_deployment_moves_a_table_to_another_domain_and_to_none(client: Client) -> None:
    govern(client, of("aviation", carrier="public"))
    assert govern(client, of("hr", carrier="public")) == ["AddLFTagsToResource"]
    assert domain(client) == "hr"
    assert govern(client, of(None, carrier="public")) == ["RemoveLFTagsFromResource"]
    assert domain(client) is None
    govern(client, of("hr"))
    governance = plan()
    governance["tables"] = {}
    govern(client, governance)
    assert domain(client) is None


@pytest.mark.parametrize("name", ["aviation", None])
def test_a_run_gives_a_table_its_first_domain_and_never_another(client: Client, name: str | None) -> None:
    govern(client, of("hr", carrier="public"), deploys=False)
    assert govern(client, of(name, carrier="public"), deploys=False) == []
    assert domain(client) == "hr"


def test_a_late_run_gives_no_domain(client: Client) -> None:
    govern(client, of(None, carrier="public"))
    assert govern_late(client, of("aviation", carrier="public"), Deployed(1)) == []
    overtaken = Deployed(2, then=lambda: govern(client, of("hr", carrier="public")))
    govern_late(client, of("aviation", carrier="public"), overtaken)
    assert domain(client) is None


class Deployed:
    """Whether a run's plan is the deployed one; ``overtaken_at`` is the look at which it no longer is."""

    def __init__(self, overtaken_at: int, then: Callable[[], object] = bool) -> None:
        self.looks = 0
        self.overtaken_at = overtaken_at
        self.then = then

    def __call__(self) -> bool:
        self.looks += 1
        if self.looks == self.overtaken_at:
            self.then()
        return self.looks < self.overtaken_at


def govern_late(
    client: Client, governance: GovernancePlan, deployed: Deployed, *, loosen: bool = False
) -> list[str]:
    client.called.clear()
    governor = Governor(client, ROLES, governance, is_newest=deployed)
    governor.govern("gold", DATABASE, "fleet", COLUMNS, loosen=loosen)
    return client.called


def test_a_late_run_only_closes(client: Client) -> None:
    old = filtered(plan(carrier="internal", tailnum="public", flights="public"), "carrier = 'UA'")
    govern(client, old)
    govern(client, plan(carrier="public", flights="public"))
    assert govern_late(client, old, Deployed(1)) == ["AddLFTagsToResource"]
    assert tags(client) == {"carrier": "internal", "flights": "public"}
    assert seen(client, "carrier-ua") == Access(describes=False)
    assert client.lake.filters == {}


def test_a_late_run_gives_a_new_table_no_tag_at_all(client: Client) -> None:
    assert govern_late(client, filtered(plan(carrier="public"), "carrier = 'UA'"), Deployed(1)) == []
    assert client.lake.assigned == {(DATABASE,): {"lake-dev:classification": "restricted"}}


def test_a_run_that_is_overtaken_while_it_opens_closes_again(client: Client) -> None:
    old = filtered(plan(carrier="public", tailnum="public", flights="internal"), "carrier = 'UA'")
    deployed = Deployed(2, then=lambda: govern(client, plan(tailnum="restricted", flights="public")))
    govern_late(client, old, deployed)
    assert seen(client).columns == ()
    assert seen(client, "carrier-ua") == Access(describes=False)


def test_a_run_that_was_done_before_looks_once_whether_it_is_late(client: Client) -> None:
    governance = filtered(plan(carrier="public"), "carrier = 'UA'")
    govern(client, governance)
    deployed = Deployed(3)
    assert govern_late(client, governance, deployed) == []
    assert deployed.looks == 1


def test_a_run_grants_a_filter_whose_maker_died_before_it_did(client: Client) -> None:
    governance = filtered(plan(carrier="public"), "carrier = 'UA'")
    govern(client, governance)
    client.lake.grants.clear()
    assert govern(client, governance, deploys=False) == ["GrantPermissions"]
    assert seen(client, "carrier-ua").rules == (Rule(frozenset(COLUMNS), "carrier = 'UA'"),)


def test_a_run_that_is_overtaken_takes_back_the_grant_it_made_and_no_other(client: Client) -> None:
    old = filtered(plan(carrier="public"), "carrier = 'UA'")
    govern(client, old)
    client.lake.grants.clear()
    other = filtered(plan(carrier="public"), "carrier = 'UA'", "carrier-aa")

    def deployed() -> None:
        govern(client, other)
        client.grant_permissions(
            Principal={"DataLakePrincipalIdentifier": ROLES + "carrier-ua"},
            Resource={"DataCellsFilter": {"TableCatalogId": ACCOUNT, "DatabaseName": DATABASE, "TableName": "fleet", "Name": "own"}},
            Permissions=["SELECT"],
        )  # fmt: skip

    govern_late(client, old, Deployed(2, then=deployed))
    assert seen(client, "carrier-ua") == Access(describes=False)
    assert seen(client, "carrier-aa").rules == (Rule(frozenset(COLUMNS), "carrier = 'UA'"),)


def test_a_tag_that_is_not_taken_is_told(client: Client) -> None:
    client.delete_lf_tag(TagKey="lake-dev:classification")
    with pytest.raises(NotGoverned, match=r"lake-dev:classification: Tag or tag value does not exist\."):
        govern(client, plan(carrier="public"))


def test_roles_that_name_no_account_are_told(client: Client) -> None:
    with pytest.raises(NotGoverned, match="'lake-dev-' is not how the ARNs of the lake's roles begin"):
        Governor(client, "lake-dev-", plan(carrier="public")).close("gold", DATABASE, "fleet", COLUMNS)


# --- What a run takes from the assets it was started with -------------------------------------------


class Assets:
    """The operations bucket, of which only one key is asked for."""

    def __init__(self, governance: GovernancePlan | None) -> None:
        self.objects = {} if governance is None else {"assets/1/governance.json": governance}

    def head(self, key: str) -> GovernancePlan | None:
        return self.objects.get(key)

    def get_json(self, key: str) -> GovernancePlan:
        return self.objects[key]


def of_run(governance: GovernancePlan | None, roles: str = ROLES) -> Governed:
    return governed(Assets(governance), "assets/1/", Governing(Client(), roles))  # type: ignore[arg-type] # a duck


def test_a_gold_table_is_closed_unless_something_says_that_it_is_open() -> None:
    open_plan = plan(carrier="public")
    open_plan["tables"]["gold.fleet"]["closed"] = False
    assert of_run(open_plan).folder("fleet") == "open"
    assert of_run(plan(carrier="public")).folder("fleet") == "closed"
    assert of_run(open_plan).folder("other") == "closed"
    assert of_run(None).folder("fleet") == "closed"


def test_a_run_governs_where_lake_formation_decides_and_there_are_assets_that_say_how() -> None:
    assert of_run(plan(carrier="public")).governor is not None
    assert of_run(plan(carrier="public"), "off").governor is None
    assert of_run(None).governor is None
    assert of_run(plan(carrier="public"), "off").folder("fleet") == "closed"


def test_a_run_opens_nothing_once_its_assets_are_retired(client: Client) -> None:
    assets = Assets(plan(carrier="public"))
    assets.objects["assets/1/retired.json"] = assets.objects["assets/1/governance.json"]
    run = governed(assets, "assets/1/", Governing(client, ROLES))  # type: ignore[arg-type] # a duck
    run.tag("gold", DATABASE, "fleet", COLUMNS)
    assert tags(client) == {}


def test_a_run_tags_by_its_plan(client: Client) -> None:
    run = governed(Assets(plan(carrier="public")), "assets/1/", Governing(client, ROLES))  # type: ignore[arg-type] # a duck
    run.tag("gold", DATABASE, "fleet", COLUMNS)
    assert tags(client) == {"carrier": "public"}
    NOT_GOVERNED.tag("gold", DATABASE, "fleet", COLUMNS)


@pytest.mark.parametrize(("layer", "left"), [("silver", "restricted"), ("gold", "public")])
def test_a_run_opens_more_only_where_its_rows_are_what_the_plan_says(
    client: Client, layer: str, left: str
) -> None:
    """A Gold table's are, once its model has made them. A contract's deployment opens Silver's itself."""
    govern(client, plan(carrier="restricted"))
    governance = plan(carrier="public")
    governance["tables"][f"{layer}.fleet"] = governance["tables"]["gold.fleet"]
    run = governed(Assets(governance), "assets/1/", Governing(client, ROLES))  # type: ignore[arg-type] # a duck
    run.tag(layer, DATABASE, "fleet", COLUMNS)
    assert tags(client) == {"carrier": left}
