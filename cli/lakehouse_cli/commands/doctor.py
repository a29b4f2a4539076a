"""``lakehouse doctor``: whether an account, and this machine, are ready for a deployment."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from lakehouse_cli import output
from lakehouse_cli.connection import Connection, project_root, twin_connection
from lakehouse_cli.doctor.findings import Finding
from lakehouse_cli.errors import NotAnswered
from lakehouse_cli.options import AsJson, DeployedEnvironment, OnTwin

INDENT = " " * 11


def doctor(
    env: DeployedEnvironment = "dev",
    twin: OnTwin = False,
    project: Annotated[
        Path | None, typer.Option(help="Folder with template.yaml. Default: this checkout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check account and machine before a deployment. Only reads. Exit code 1 if something stops it."""
    report = examined(twin_connection() if twin else Connection(), project or project_root(), env)
    if as_json:
        output.print_json(report)
    else:
        for finding in report["checks"]:
            _show(Finding(**finding))
    counts = report["counts"]
    output.note(
        f"{counts['problem']} problems, {counts['warning']} warnings, {counts['unchecked']} not checked, "
        f"{counts['ok']} ok: {env} in {report['region']}, account {report['account']}."
    )
    if counts["problem"]:
        raise typer.Exit(1)


def examined(connection: Connection, root: Path, env: str) -> dict[str, Any]:
    """The document that ``doctor --json`` prints."""
    from lakehouse_cli.doctor.account import Account
    from lakehouse_cli.doctor.checks import Deployment, examine, principal_arn
    from lakehouse_cli.doctor.tools import check_tools, sam_cli
    from lakehouse_cli.templates import Place, read_environment, read_template

    account = Account(connection)
    region, caller = account.region, account.caller()
    try:
        principal: str | None = principal_arn(account, caller)
    except NotAnswered:
        principal = None
    environment = read_environment(root, env).governed_by(principal)
    template = read_template(root, environment, Place(caller.account, region))
    deployment = Deployment(environment, caller, region, list(template.resources()))
    findings = [*check_tools(sam_cli(root)), *examine(account, deployment)]
    counts = Counter(finding.status for finding in findings)
    return {
        "environment": env,
        "stack": environment.stack,
        "region": region,
        "account": caller.account,
        "principal_arn": principal,
        "counts": {status: counts[status] for status in ("problem", "warning", "unchecked", "ok")},
        "checks": [vars(finding) for finding in findings],
    }


def _show(finding: Finding) -> None:
    line = f"{finding.status:<11}{finding.check}: {finding.found}"
    output.stdout().print(output.visible(line), soft_wrap=True)
    if finding.do:
        output.stdout().print(output.visible(f"{INDENT}> {finding.do}"), soft_wrap=True)
