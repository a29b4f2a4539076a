"""Budgets, which ministack serves and its CloudFormation lacks. Only recorded: nothing is paid here."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from twin.context import Context

JsonObject = dict[str, Any]
BUDGET = "AWS::Budgets::Budget"


def install(provisioners: ModuleType, context: Context) -> None:
    """Add the handlers. What is changed is made anew."""
    create, delete = functools.partial(_create, context), functools.partial(_delete, context)

    def update(name: str, before: JsonObject, wanted: JsonObject, _stack: str) -> tuple[str, JsonObject]:
        if before == wanted:
            return name, {}
        delete(name, before)
        return create("", wanted, "")

    provisioners._RESOURCE_HANDLERS[BUDGET] = {"create": create, "update": update, "delete": delete}


def _create(context: Context, _logical_id: str, wanted: JsonObject, _stack: str) -> tuple[str, JsonObject]:
    budget = dict(wanted["Budget"])
    # A parameter delivers a number as text, and the service takes it as text only.
    budget["BudgetLimit"] = {**budget["BudgetLimit"], "Amount": str(budget["BudgetLimit"]["Amount"])}
    notifications = [
        {
            **each,
            "Notification": {**each["Notification"], "Threshold": float(each["Notification"]["Threshold"])},
        }
        for each in wanted.get("NotificationsWithSubscribers", [])
    ]
    context.admin_client("budgets").create_budget(
        AccountId=context.account, Budget=budget, NotificationsWithSubscribers=notifications
    )
    return budget["BudgetName"], {}


def _delete(context: Context, name: str, _wanted: JsonObject) -> None:
    context.admin_client("budgets").delete_budget(AccountId=context.account, BudgetName=name)
