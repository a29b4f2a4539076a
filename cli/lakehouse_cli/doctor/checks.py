"""The checks of an account: what is asked, how the answer is judged, and what to do.

Each check is a function of the account and the deployment and yields findings. One whose question was not
answered becomes a finding ``unchecked``; the others go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lakehouse.claim import MAX_WORKERS, MIN_WORKERS
from lakehouse_cli.cost.rules import DPUS
from lakehouse_cli.doctor.account import PROBES, Account, Caller, Taken
from lakehouse_cli.doctor.findings import Finding
from lakehouse_cli.doctor.permissions import needed
from lakehouse_cli.errors import NotAnswered
from lakehouse_cli.templates import Environment, Resource

SESSION = re.compile(r"^arn:([\w-]+):sts::(\d+):assumed-role/([^/]+)/.+$")
ARTIFACTS_STACK = "aws-sam-cli-managed-default"
"""Where ``resolve_s3`` keeps the bucket for artifacts."""
FIRST_CREATION = {None, "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"}
BLOCKED = {
    "CREATE_FAILED": "Its creation failed. Delete it: sam delete --stack-name {stack}",
    "ROLLBACK_COMPLETE": "Its first creation failed. Delete it: sam delete --stack-name {stack}",
    "ROLLBACK_FAILED": "Its first creation failed. Delete it: sam delete --stack-name {stack}",
    "DELETE_FAILED": "Look at its events for what could not be deleted, then delete it again.",
    "UPDATE_FAILED": "Roll it back: aws cloudformation rollback-stack --stack-name {stack}",
    "UPDATE_ROLLBACK_FAILED": "Mend what its events name, then: "
    "aws cloudformation continue-update-rollback --stack-name {stack}",
}
FEW_FUNCTIONS = 50
"""Below that a burst of files throttles the functions. They are retried, so it is slow and not wrong."""
JOB_RUNS_QUOTA = "concurrent job runs per account"
DPU_QUOTA = "dpus per account"
LOG_GROUP = "log group"
ROLE = "role"
VPC_QUOTA = "vpcs per region"
ENDPOINT_QUOTA = "interface vpc endpoints per vpc"


@dataclass(frozen=True)
class Deployment:
    """What is to be deployed, and where to."""

    environment: Environment
    caller: Caller
    region: str
    resources: list[Resource] = field(default_factory=list)

    def of(self, *types: str) -> list[Resource]:
        """The resources of some types."""
        return [resource for resource in self.resources if resource.type in types]

    @property
    def stem(self) -> str:
        """What the names of the lake's own things start with."""
        values = self.resources[0].template.parameters if self.resources else {}
        return f"{values.get('LakeName', 'lake')}-{values.get('Environment', self.environment.name)}"


Findings = Iterator[Finding]
Check = Callable[[Account, Deployment], Findings]


def examine(account: Account, deployment: Deployment) -> Findings:
    """All checks of the account, in their order."""
    for name, check in CHECKS.items():
        try:
            yield from check(account, deployment)
        except NotAnswered as silence:
            yield Finding(
                name,
                "unchecked",
                f"Could not be checked: {silence}.",
                "Look yourself, or ask somebody who may.",
            )


def principal_arn(account: Account, caller: Caller) -> str:
    """The IAM principal behind a caller: a session's role, with its path. Raises ``NotAnswered``."""
    session = SESSION.match(caller.arn)
    return account.role_arn(session[3]) if session else caller.arn


# --- who, and where -------------------------------------------------------------------------------


def identity(account: Account, deployment: Deployment) -> Findings:
    """Who deploys, as a principal that policies and grants can name."""
    caller = deployment.caller
    found = principal_arn(account, caller)
    sentence = f"{found} deploys to account {caller.account}."
    if caller.arn.endswith(":root"):
        yield Finding(
            "identity", "warning", sentence, "Deploy as a role; the root user's keys should not exist."
        )
    elif ":role/" in found or ":user/" in found:
        yield Finding("identity", "ok", sentence)
    else:
        yield Finding(
            "identity", "warning", sentence, "Deploy as a role or a user: grants can name nothing else."
        )


def permissions(account: Account, deployment: Deployment) -> Findings:
    """Whether that principal may make what the templates declare."""
    caller = deployment.caller
    if caller.arn.endswith(":root"):
        yield Finding("permissions", "ok", "The root user may do everything.")
        return
    principal = principal_arn(account, caller)
    denied: list[str] = []
    unsure: list[str] = []
    actions = needed(deployment.resources, deployment.environment.stack, deployment.stem)
    for action, resource in sorted(actions.items()):
        decision = account.decide(principal, action, resource)
        if not decision.allowed:
            (unsure if decision.missing_context else denied).append(action)
    yield from _permissions(denied, unsure, len(actions))


def _permissions(denied: list[str], unsure: list[str], asked: int) -> Findings:
    if denied:
        do = "Deploy as somebody who may, or have it allowed."
        yield Finding("permissions", "problem", f"Not allowed: {', '.join(denied)}.", do)
    if unsure:
        do = "A condition in your policies decides, which a simulation cannot: the deployment will show."
        yield Finding("permissions", "warning", f"Allowed under conditions: {', '.join(unsure)}.", do)
    if not denied and not unsure:
        yield Finding("permissions", "ok", f"{asked} actions are allowed, one for each kind of resource.")


def region(account: Account, deployment: Deployment) -> Findings:
    """Whether the account has the region enabled."""
    if account.region_enabled(deployment.region):
        yield Finding("region", "ok", f"{deployment.region} is enabled.")
    else:
        do = "Enable it (Account, AWS Regions), or choose another: AWS_DEFAULT_REGION."
        yield Finding("region", "problem", f"{deployment.region} is no region this account may use.", do)


def second_region(account: Account, deployment: Deployment) -> Findings:
    """Whether the regions of replicas are others than the first, and enabled."""
    regions = sorted(_replica_regions(deployment))
    if not regions:
        yield Finding("second region", "ok", "The templates name no second region.")
    for name in regions:
        if name == deployment.region:
            found, do = (
                f"The replica's region {name} is the first one, too.",
                "Choose another for the replica.",
            )
            yield Finding("second region", "problem", found, do)
        elif _continent(name) != _continent(deployment.region):
            found = f"The replica's region {name} lies on another continent than {deployment.region}."
            do = "Choose one nearby (ReplicaRegion). If you mean it, build and deploy with the SAM CLI."
            yield Finding("second region", "problem", found, do)
        elif account.region_enabled(name):
            yield Finding("second region", "ok", f"{name} is enabled.")
        else:
            do = "Enable it (Account, AWS Regions), or choose another."
            yield Finding("second region", "problem", f"{name} is no region this account may use.", do)


def _continent(region: str) -> str:
    """What a region's name begins with: us, eu, ap, ..., and us-gov apart from us."""
    return region.rpartition("-")[0].rpartition("-")[0]


def _replica_regions(deployment: Deployment) -> set[str]:
    """Regions of stack sets' instances, and of tables' further replicas."""
    instances = {resource.template.place.region for resource in deployment.resources if "@" in resource.path}
    replicas = {
        str(replica["Region"])
        for table in deployment.of("AWS::DynamoDB::GlobalTable")
        for replica in table.get("Replicas", [])
    }
    return instances | (replicas - {deployment.region})


def services(account: Account, deployment: Deployment) -> Findings:
    """Whether every service answers: an organisation's policy may close some in a region."""
    silent = []
    for name in PROBES:
        try:
            account.probe(name)
        except NotAnswered as silence:
            silent.append(str(silence))
    if silent:
        do = "Is the service allowed in this region, and may you read it?"
        yield Finding("services", "unchecked", f"Could not be checked: {'; '.join(silent)}.", do)
    else:
        yield Finding("services", "ok", f"{len(PROBES)} services answer in {deployment.region}.")


# --- what is there already ------------------------------------------------------------------------


def stack(account: Account, deployment: Deployment) -> Findings:
    """Whether the stack is in a state in which it can be deployed."""
    yield _stack("stack", deployment.environment.stack, account.stack_status(deployment.environment.stack))


def artifacts(account: Account, _: Deployment) -> Findings:
    """The same for the stack in which the SAM CLI keeps its bucket."""
    yield _stack("artifacts", ARTIFACTS_STACK, account.stack_status(ARTIFACTS_STACK))


def _stack(check: str, name: str, status: str | None) -> Finding:
    if status is None:
        return Finding(check, "ok", f"There is no stack {name} yet.")
    found = f"The stack {name} is {status}."
    if status in BLOCKED:
        return Finding(check, "problem", found, BLOCKED[status].format(stack=name))
    if status == "REVIEW_IN_PROGRESS":
        do = "A change set was made and never executed; the deployment makes its own."
        return Finding(check, "warning", found, do)
    if status.endswith("_IN_PROGRESS"):
        return Finding(check, "problem", found, "Wait until that is over.")
    return Finding(check, "ok", found)


def names(account: Account, deployment: Deployment) -> Findings:
    """Whether the names are free of what outlives a stack. What an existing stack has, it has."""
    if account.stack_status(deployment.environment.stack) not in FIRST_CREATION:
        yield Finding("names", "ok", "The stack is there, and so are its names.")
        return
    states = dict(_name_states(account, deployment))
    own = [name for name, state in states.items() if state == "own"]
    yield from _names(
        taken=[name for name in own if not name.startswith((LOG_GROUP, ROLE))],
        foreign=[name for name, state in states.items() if state == "foreign"],
        groups=[name for name in own if name.startswith(LOG_GROUP)],
        roles=[name for name in own if name.startswith(ROLE)],
    )


def _names(taken: list[str], foreign: list[str], groups: list[str], roles: list[str]) -> Findings:
    if taken:
        do = "An earlier lake left them. Remove them, or deploy with a NameSuffix (in parameter_overrides)."
        yield Finding("names", "problem", f"Taken: {', '.join(taken)}.", do)
    if foreign:
        do = "Somebody else has them, or you may not look. Choose another LakeName or a NameSuffix."
        yield Finding("names", "problem", f"Not yours: {', '.join(foreign)}.", do)
    if groups:
        do = "Functions that wrote after their stack was deleted made them again. Delete them."
        yield Finding("names", "problem", f"Taken: {', '.join(groups)}.", do)
    if roles:
        do = "Roles are the account's; a lake of another region has them. Choose another LakeName."
        yield Finding("names", "problem", f"Taken: {', '.join(roles)}.", do)
    if not taken and not foreign and not groups and not roles:
        found = "The names of buckets, tables, databases, key, log groups and people's roles are free."
        yield Finding("names", "ok", found)


def _name_states(account: Account, deployment: Deployment) -> Iterator[tuple[str, Taken]]:
    asked: dict[str, tuple[str, Callable[[str], Taken], Callable[[Resource], Any]]] = {
        "AWS::S3::Bucket": ("bucket", account.bucket, lambda r: r.get("BucketName")),
        "AWS::DynamoDB::GlobalTable": ("table", account.table, lambda r: r.get("TableName")),
        "AWS::Glue::Database": ("database", account.database, lambda r: r.get("DatabaseInput")["Name"]),
        "AWS::KMS::Alias": ("alias", account.key_alias, lambda r: r.get("AliasName")),
        "AWS::IAM::Role": (ROLE, account.role, lambda r: r.get("RoleName")),
        "AWS::Logs::LogGroup": (LOG_GROUP, account.log_group, lambda r: r.get("LogGroupName")),
    }
    for resource in deployment.of(*asked):
        kind, look, name_of = asked[resource.type]
        name = name_of(resource)
        # A name in another region is not asked for here, and one that CloudFormation makes is free.
        if name and resource.template.place.region == deployment.region:
            yield f"{kind} {name}", look(str(name))


# --- quotas ---------------------------------------------------------------------------------------


def function_quota(account: Account, _: Deployment) -> Findings:
    """How many functions may run at once."""
    limit = account.concurrent_functions()
    found = f"{limit} functions may run at once."
    if limit < FEW_FUNCTIONS:
        do = (
            "New accounts start low. It works, slowly under load: have Lambda's concurrent executions raised."
        )
        yield Finding("function quota", "warning", found, do)
    else:
        yield Finding("function quota", "ok", found)


def job_quotas(account: Account, deployment: Deployment) -> Findings:
    """How many Glue jobs may run at once, and with how many workers."""
    quotas = account.quotas("glue")
    jobs = deployment.of("AWS::Glue::Job")
    dpu = max((DPUS.get(job.get("WorkerType"), 1) for job in jobs), default=1)
    runs = [int(job.get("ExecutionProperty", {}).get("MaxConcurrentRuns", 1)) for job in jobs]
    yield _quota(
        "job quota", quotas, JOB_RUNS_QUOTA, len(jobs), max(runs, default=1), "Glue job runs at once"
    )
    least, most = MIN_WORKERS * dpu * len(jobs), MAX_WORKERS * dpu
    yield _quota("worker quota", quotas, DPU_QUOTA, least, most, "DPUs at once")


def _quota(
    check: str, quotas: dict[str, float], name: str, least: float, wanted: float, what: str
) -> Finding:
    """A quota below ``least`` stops the lake; below ``wanted`` it waits at its busiest."""
    limits = [value for title, value in quotas.items() if name in title.lower()]
    if not limits:
        raise NotAnswered(f"Service Quotas lists no quota named like '{name}'")
    limit = min(limits)
    found = f"{limit:,.0f} {what}; the lake takes {wanted:,.0f} at its busiest."
    if limit < least:
        return Finding(check, "problem", found, "Have the quota raised before you deploy.")
    if limit < wanted:
        return Finding(
            check, "warning", found, "Runs beyond it are refused and tried again. Have it raised for load."
        )
    return Finding(check, "ok", found)


def network_quotas(account: Account, deployment: Deployment) -> Findings:
    """Room for the network, where the environment has one of its own."""
    networks = deployment.of("AWS::EC2::VPC")
    if not networks:
        yield Finding("network quotas", "ok", "The environment has no network of its own.")
        return
    quotas = account.quotas("vpc")
    is_new = account.stack_status(deployment.environment.stack) in FIRST_CREATION
    after = account.networks() + (len(networks) if is_new else 0)
    yield _quota("network quotas", quotas, VPC_QUOTA, after, after, "VPCs")
    endpoints = deployment.of("AWS::EC2::VPCEndpoint")
    count = sum(1 for each in endpoints if each.get("VpcEndpointType", "Gateway") == "Interface")
    yield _quota("network quotas", quotas, ENDPOINT_QUOTA, count, count, "interface endpoints in a VPC")


# --- singletons of the account --------------------------------------------------------------------


def lake_formation(account: Account, deployment: Deployment) -> Findings:
    """Lake Formation's settings, of which an account has one set in each region."""
    settings = account.lake_formation()
    governed = [r for r in deployment.resources if r.type.startswith("AWS::LakeFormation::")]
    if governed:
        principal = principal_arn(account, deployment.caller)
        made = [
            str(admin["DataLakePrincipalIdentifier"])
            for each in governed
            if each.type == "AWS::LakeFormation::DataLakeSettings"
            for admin in each.get("Admins", [])
        ]
        yield _administrator(principal, settings.administrators, made)
    elif settings.databases_open:
        yield Finding("lake formation", "ok", "New databases are open to whom IAM lets in.")
    else:
        yield Finding(
            "lake formation",
            "warning",
            "Lake Formation closes new databases here, and the templates grant nothing in it.",
            "Grant the lake's roles their databases after the deployment; until then runs fail, denied.",
        )


def _administrator(principal: str, administrators: list[str], made: list[str]) -> Finding:
    """``made``: whom the deployment itself makes an administrator, before it grants anything."""
    if principal in administrators:
        return Finding("lake formation", "ok", f"{principal} administers Lake Formation.")
    if principal in made:
        return Finding("lake formation", "ok", f"The deployment lets {principal} administer Lake Formation.")
    if made:
        return Finding(
            "lake formation",
            "problem",
            f"{principal} grants in the deployment, which lets {', '.join(made)} administer Lake Formation.",
            f"Set the parameter DataLakeAdministratorArn to {principal}.",
        )
    listed = ", ".join(administrators) or "nobody"
    return Finding(
        "lake formation",
        "problem",
        f"{principal} grants in the deployment and is no administrator of Lake Formation ({listed}).",
        "Have it added to the data lake administrators, beside those that are there.",
    )


def catalog_encryption(account: Account, deployment: Deployment) -> Findings:
    """Encryption of the catalog, of which an account has one setting in each region."""
    mode = account.catalog_encryption()
    if deployment.of("AWS::Glue::DataCatalogEncryptionSettings"):
        do = "It is one setting for account and region: make sure that nobody relies on the old one."
        found = f"The deployment replaces the catalog's encryption, now {mode}."
        yield Finding("catalog encryption", "warning", found, do)
    elif mode == "DISABLED":
        yield Finding(
            "catalog encryption", "ok", "The account's catalog is not encrypted with a key of its own."
        )
    else:
        do = "Let the lake's roles use that key, or every job and query is denied."
        found = f"The account's catalog is encrypted ({mode})."
        yield Finding("catalog encryption", "warning", found, do)


CHECKS: dict[str, Check] = {
    "identity": identity,
    "permissions": permissions,
    "region": region,
    "second region": second_region,
    "services": services,
    "stack": stack,
    "artifacts": artifacts,
    "names": names,
    "function quota": function_quota,
    "job quotas": job_quotas,
    "network quotas": network_quotas,
    "lake formation": lake_formation,
    "catalog encryption": catalog_encryption,
}
