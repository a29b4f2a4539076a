"""IAM: every policy AWS manages, from moto's copy; what Glue and Athena are checked on; the grants used."""

from __future__ import annotations

import json
from types import ModuleType

from twin import hooks
from twin.context import Context
from twin.iam import usage
from twin.iam.athena_resources import with_athena_resources
from twin.iam.glue_resources import with_glue_resources


def install(_app: ModuleType, context: Context) -> None:
    """Add the managed policies ministack does not know (it has some forty of AWS's fifteen hundred)."""
    from ministack.core import iam_actions
    from ministack.services import athena, iam
    from moto.iam.aws_managed_policies import aws_managed_policies_data as managed

    hooks.require(
        iam, "_AWS_MANAGED_POLICY_PREFIX", "_aws_managed_policies", "_make_aws_managed_record", "_roles"
    )
    for policy_name, policy in json.loads(managed).items():
        name = policy.get("Path", "/").lstrip("/") + policy_name
        arn = iam._AWS_MANAGED_POLICY_PREFIX + name
        if arn not in iam._aws_managed_policies:
            document = json.dumps(policy["Document"])
            iam._aws_managed_policies[arn] = iam._make_aws_managed_record(name, document)
    hooks.require(athena, "_executions", "_named_queries")
    hooks.replace(iam_actions, "extract_resource_arn", with_glue_resources)
    hooks.replace(iam_actions, "extract_resource_arn", with_athena_resources)
    usage.install(context.state_dir)
