"""Put into Lake Formation what ``governance.json`` says of a table: tags of columns, row filters and their
grants.

Only the standard library is imported: Glue jobs run this too, on the tables they have just made. Everything
is compared with what is there first, so that doing it again calls nothing, and stricter tags come before
more open ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .words import GovernancePlan, RowFilter, TableAccess

OFF: Final = "off"
"""In the place of ``Governor.roles``: IAM alone decides."""
CLASSIFICATION: Final = "classification"
DOMAIN: Final = "domain"
_ROLES: Final = re.compile(r"arn:[a-z-]+:iam::(?P<account>[0-9]{12}):role/(?P<lake>.+)-")


class NotGoverned(Exception):  # noqa: N818 - reads as the sentence it is
    """Lake Formation did not take a tag: the table stays as closed as it was."""


@dataclass(frozen=True)
class Governor:
    """Who governs the tables of one lake.

    ``client`` is a boto3 client of Lake Formation; ``roles`` is what the ARNs of the lake's roles begin with
    (``arn:aws:iam::123456789012:role/lake-dev-``).
    """

    client: Any
    roles: str
    plan: GovernancePlan
    deploys: bool = False
    """Whether this is a deployment, whose plan is the newest: only it takes filters away and moves a table
    to another domain."""
    is_newest: Callable[[], bool] = lambda: True
    """Whether the plan is still the deployed one. A run whose plan is not only closes: it opens no column,
    makes no filter and grants none."""

    @property
    def account(self) -> str:
        """The account, which is the catalog's id."""
        return self._parts["account"]

    @property
    def tag_prefix(self) -> str:
        """What the lake's tag keys begin with: ``lake-dev:``."""
        return self._parts["lake"] + ":"

    @property
    def _parts(self) -> dict[str, str]:
        found = _ROLES.fullmatch(self.roles)
        if found is None:
            raise NotGoverned(f"'{self.roles}' is not how the ARNs of the lake's roles begin")
        return found.groupdict()

    def govern(self, layer: str, database: str, table: str, columns: Iterable[str], *, loosen: bool) -> None:
        """Tag the columns a table has and filter its rows. What the plan does not name is closed.

        ``loosen``: whether the rows are what the plan says, so that a column that is closed more strictly
        than that may be opened. Raises ``NotGoverned``.
        """
        access = self.plan["tables"].get(f"{layer}.{table}")
        filters = [each for each in self.plan["row_filters"] if each["table"] == f"{layer}.{table}"]
        if not (self.deploys or self.is_newest()):
            return self.close(layer, database, table, columns)
        tagged = self._tag_columns(database, table, list(columns), access, loosen=loosen)
        placed = self._tag_domain(database, table, access)
        granted = self._filter_rows(database, table, filters)
        changed = bool(tagged or placed or granted)
        if changed and not (self.deploys or self.is_newest()):
            self._take_back(database, table, tagged, granted, placed=placed)
        return None

    def close(self, layer: str, database: str, table: str, columns: Iterable[str]) -> None:
        """Close what the plan closes, and open nothing. Raises ``NotGoverned``."""
        access = self.plan["tables"].get(f"{layer}.{table}")
        self._tag_columns(database, table, list(columns), access, loosen=False, opens=False)

    def _take_back(
        self, database: str, table: str, tagged: list[str], granted: list[tuple[str, str]], *, placed: bool
    ) -> None:
        """Close again: a deployment overtook this run, and may have looked at the table before."""
        if tagged:
            self._change_tags(database, table, tagged, {}, self._column_tags(database, table, tagged))
        if placed:
            self._change_domain(database, table, None, self._domain(database, table))
        for name, role in granted:
            self._take_grant(database, table, name, role)

    # --- Tags ---------------------------------------------------------------------------------------

    def _tag_columns(
        self,
        database: str,
        table: str,
        columns: list[str],
        access: TableAccess | None,
        *,
        loosen: bool,
        opens: bool = True,
    ) -> list[str]:
        """Returns the columns that got another tag. ``opens``: whether one without a tag may get one."""
        wanted = {} if access is None else access["columns"]
        present = self._column_tags(database, table, columns)
        if not loosen:
            wanted = self._kept_closed(wanted, present)
        if not opens:
            wanted = {column: value for column, value in wanted.items() if column in present}
        self._change_tags(database, table, columns, wanted, present)
        return [column for column in columns if column in wanted and wanted[column] != present.get(column)]

    def _change_tags(
        self,
        database: str,
        table: str,
        columns: list[str],
        wanted: Mapping[str, str],
        present: Mapping[str, str],
    ) -> None:
        key = self.tag_prefix + CLASSIFICATION
        gone = {column: value for column, value in present.items() if column not in wanted}
        for value in sorted(set(gone.values())):
            taken = [column for column in gone if gone[column] == value]
            resource = self._columns(database, table, taken)
            self._done(self.client.remove_lf_tags_from_resource(Resource=resource, LFTags=[_tag(key, value)]))
        for value in reversed(self.plan["classifications"]):
            changed = [
                column for column in columns if wanted.get(column) == value and present.get(column) != value
            ]
            if changed:
                resource = self._columns(database, table, changed)
                self._done(self.client.add_lf_tags_to_resource(Resource=resource, LFTags=[_tag(key, value)]))

    def _kept_closed(self, wanted: dict[str, str], present: dict[str, str]) -> dict[str, str]:
        """What is wanted, but where a column is closed more strictly than that. A classification that the
        plan does not know came with a later deployment: it counts as the strictest.
        """
        known = self.plan["classifications"]
        strictness = {value: at for at, value in enumerate(known)}

        def stricter(column: str, value: str) -> str:
            return max(value, present.get(column, value), key=lambda each: strictness.get(each, len(known)))

        return {column: stricter(column, value) for column, value in wanted.items()}

    def _column_tags(self, database: str, table: str, columns: list[str]) -> dict[str, str]:
        """The classification put on each column itself; one without is left out."""
        key = self.tag_prefix + CLASSIFICATION
        answer = self.client.get_resource_lf_tags(
            Resource=self._columns(database, table, columns), ShowAssignedLFTags=True
        )
        return {
            each["Name"]: tag["TagValues"][0]
            for each in answer.get("LFTagsOnColumns", [])
            for tag in each["LFTags"]
            if tag["TagKey"] == key
        }

    def _tag_domain(self, database: str, table: str, access: TableAccess | None) -> bool:
        """Give a table the domain that it is to have. Only a deployment moves one to another domain, or to
        none: both open and close. Returns whether the table had none and got one.
        """
        wanted = None if access is None else access["domain"]
        present = self._domain(database, table)
        if present is not None and not self.deploys:
            return False
        self._change_domain(database, table, wanted, present)
        return wanted is not None and present is None

    def _change_domain(self, database: str, table: str, wanted: str | None, present: str | None) -> None:
        key = self.tag_prefix + DOMAIN
        resource = {"Table": {"DatabaseName": database, "Name": table}}
        if wanted is None and present is not None:
            gone = [_tag(key, present)]
            self._done(self.client.remove_lf_tags_from_resource(Resource=resource, LFTags=gone))
        elif wanted is not None and wanted != present:
            self._done(self.client.add_lf_tags_to_resource(Resource=resource, LFTags=[_tag(key, wanted)]))

    def _domain(self, database: str, table: str) -> str | None:
        """The domain put on the table itself."""
        resource = {"Table": {"DatabaseName": database, "Name": table}}
        answer = self.client.get_resource_lf_tags(Resource=resource, ShowAssignedLFTags=True)
        tags = {each["TagKey"]: each["TagValues"][0] for each in answer.get("LFTagsOnTable", [])}
        return tags.get(self.tag_prefix + DOMAIN)

    def _columns(self, database: str, table: str, columns: list[str]) -> dict[str, Any]:
        return {"TableWithColumns": {"DatabaseName": database, "Name": table, "ColumnNames": columns}}

    def _done(self, answer: Mapping[str, Any]) -> None:
        for failure in answer.get("Failures", []):
            error = failure.get("Error", {})
            raise NotGoverned(f"{failure['LFTag']['TagKey']}: {error.get('ErrorMessage', 'not taken')}")

    # --- Row filters --------------------------------------------------------------------------------

    def _filter_rows(self, database: str, table: str, wanted: list[RowFilter]) -> list[tuple[str, str]]:
        """Filters that the plan does not know go with their grants, first of all.

        A run grants a filter that is there as the plan says it, too: whoever made it may have died before.
        Returns the new grants: filter and role.
        """
        present = self._filters(database, table)
        for name in present.keys() - {each["name"] for each in wanted} if self.deploys else ():
            self._grant_to(database, table, name, set(), only=True)
            self.client.delete_data_cells_filter(TableCatalogId=self.account, **_named(database, table, name))
        granted = []
        for each in wanted:
            data, name = self._table_data(database, table, each), each["name"]
            if name not in present:
                self.client.create_data_cells_filter(TableData=data)
            elif _differ(present[name], data):
                if not self.deploys:
                    continue
                self.client.update_data_cells_filter(TableData=data)
            roles = {self.roles + each["role"]}
            new = self._grant_to(database, table, name, roles, only=self.deploys)
            granted += [(name, role) for role in new]
        return granted

    def _filters(self, database: str, table: str) -> dict[str, Mapping[str, Any]]:
        place = {"CatalogId": self.account, "DatabaseName": database, "Name": table}
        found = self.client.list_data_cells_filter(Table=place).get("DataCellsFilters", [])
        return {each["Name"]: each for each in found}

    def _table_data(self, database: str, table: str, given: RowFilter) -> dict[str, Any]:
        columns = given["columns"]
        shown: dict[str, Any] = {"ColumnWildcard": {}} if columns is None else {"ColumnNames": columns}
        return {
            "TableCatalogId": self.account,
            **_named(database, table, given["name"]),
            "RowFilter": {"FilterExpression": given["rows"]},
            **shown,
        }

    def _grant_to(self, database: str, table: str, name: str, roles: set[str], *, only: bool) -> set[str]:
        """Let these roles, and if ``only`` nobody else, select what a filter shows. Returns who is new."""
        resource = self._filter(database, table, name)
        present = self._grantees(resource)
        for role in present - roles if only else ():
            self.client.revoke_permissions(**_select(role, resource))
        for role in roles - present:
            self.client.grant_permissions(**_select(role, resource))
        return roles - present

    def _take_grant(self, database: str, table: str, name: str, role: str) -> None:
        resource = self._filter(database, table, name)
        if name in self._filters(database, table) and role in self._grantees(resource):
            self.client.revoke_permissions(**_select(role, resource))

    def _filter(self, database: str, table: str, name: str) -> dict[str, Any]:
        return {"DataCellsFilter": {"TableCatalogId": self.account, **_named(database, table, name)}}

    def _grantees(self, resource: Mapping[str, Any]) -> set[str]:
        answer = self.client.list_permissions(Resource=resource)
        listed = answer.get("PrincipalResourcePermissions", [])
        return {each["Principal"]["DataLakePrincipalIdentifier"] for each in listed}


def _named(database: str, table: str, name: str) -> dict[str, str]:
    return {"DatabaseName": database, "TableName": table, "Name": name}


def _tag(key: str, value: str) -> dict[str, Any]:
    return {"TagKey": key, "TagValues": [value]}


def _differ(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a filter shows something else than it should."""
    rows = present.get("RowFilter", {}).get("FilterExpression")
    return bool(
        rows != wanted["RowFilter"]["FilterExpression"]
        or present.get("ColumnNames") != wanted.get("ColumnNames")
    )


def _select(role: str, resource: Mapping[str, Any]) -> dict[str, Any]:
    principal = {"DataLakePrincipalIdentifier": role}
    return {"Principal": principal, "Resource": resource, "Permissions": ["SELECT"]}
