"""Types that ministack's CloudFormation lacks, made through their service's own API."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from twin.cloudformation.network import add
from twin.context import Context

JsonObject = dict[str, Any]


def install(provisioners: ModuleType, context: Context) -> None:
    """Add the types to those that a stack may hold."""

    def secure(wanted: JsonObject) -> str:
        settings = dict(wanted["EncryptionConfiguration"])
        # The API's word for it is a singular one.
        settings["S3Encryption"] = settings.pop("S3Encryptions", [])
        context.admin_client("glue").create_security_configuration(
            Name=wanted["Name"], EncryptionConfiguration=settings
        )
        return str(wanted["Name"])

    def unsecure(name: str, _: JsonObject) -> None:
        context.admin_client("glue").delete_security_configuration(Name=name)

    add(provisioners, "AWS::Glue::SecurityConfiguration", secure, unsecure)
    add(
        provisioners,
        "AWS::Athena::NamedQuery",
        lambda wanted: str(context.admin_client("athena").create_named_query(**wanted)["NamedQueryId"]),
        lambda query_id, _: context.admin_client("athena").delete_named_query(NamedQueryId=query_id),
    )
    # The emulator's Glue has no word for it.
    add(
        provisioners,
        "AWS::Glue::DataCatalogEncryptionSettings",
        lambda wanted: str(wanted["CatalogId"]),
        lambda _id, _: None,
    )
