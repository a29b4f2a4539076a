"""The workflow of scheduled intake: what starts what, and that the templates and the contracts say the same."""

from __future__ import annotations

import json
from pathlib import Path

from lakehouse.contracts import compile_contracts
from tests.infra.templates import ROOT, listed, resource, resources, statements, text

WORKFLOW = "${LakeName}-${Environment}-scheduled-intake"


def test_a_workflow_has_one_on_demand_trigger_that_is_not_started_at_its_creation() -> None:
    [workflow] = resources("AWS::Glue::Workflow")
    triggers = resources("AWS::Glue::Trigger")
    assert {str(trigger.properties["WorkflowName"]) for trigger in triggers} == {str({"Ref": workflow.name})}
    start = [trigger for trigger in triggers if trigger.properties["Type"] == "ON_DEMAND"]
    assert [trigger.name for trigger in start] == ["ScheduledIntakeStartTrigger"]
    # With it the trigger is refused.
    assert "StartOnCreation" not in start[0].properties


def test_a_conditional_trigger_is_active_and_waits_only_for_what_a_trigger_started() -> None:
    """It never fires after anything that something else started."""
    triggers = resources("AWS::Glue::Trigger")
    started = {str(action) for trigger in triggers for action in trigger.properties["Actions"]}
    conditional = [trigger for trigger in triggers if trigger.properties["Type"] == "CONDITIONAL"]
    assert [trigger.name for trigger in conditional] == ["ScheduledIntakeJobTrigger"]
    for trigger in conditional:
        assert trigger.properties["StartOnCreation"] is True
        for condition in trigger.properties["Predicate"]["Conditions"]:
            assert condition["LogicalOperator"] == "EQUALS"
            assert str({"CrawlerName": condition["CrawlerName"]}) in started


def test_the_job_follows_the_crawl_in_every_state_that_a_trigger_may_name() -> None:
    """Glue's API has further states, and a linter takes them: Glue answers 'choose from one of the following crawler
    state: [SUCCEEDED, FAILED, CANCELLED]' (https://docs.aws.amazon.com/glue/latest/webapi/API_Condition.html)."""
    predicate = resource("ScheduledIntakeJobTrigger").properties["Predicate"]
    assert predicate["Logical"] == "ANY"
    assert [each["CrawlState"] for each in predicate["Conditions"]] == ["SUCCEEDED", "FAILED", "CANCELLED"]


def test_the_schedule_starts_the_workflow_as_a_role_that_may_do_nothing_else() -> None:
    schedule = resource("ScheduledIntakeSchedule").properties
    assert text(schedule["Target"]["Arn"]).endswith(":scheduler:::aws-sdk:glue:startWorkflowRun")
    assert json.loads(text(schedule["Target"]["Input"])) == {"Name": WORKFLOW}
    assert text(resource("ScheduledIntakeWorkflow").properties["Name"]) == WORKFLOW
    assert schedule["State"] == {"Ref": "ScheduledIntake"}
    granted = {
        action: text(statement["Resource"])
        for owner, statement in statements()
        if owner.name == "ScheduledIntakeScheduleRole" and "Resource" in statement
        for action in listed(statement["Action"])
    }
    assert set(granted) == {"glue:StartWorkflowRun", "sqs:SendMessage"}
    assert granted["glue:StartWorkflowRun"].endswith(f":workflow/{WORKFLOW}")


def test_a_bookmark_is_kept_by_one_run_at_a_time() -> None:
    job = resource("ScheduledJob").properties
    assert job["ExecutionProperty"] == {"MaxConcurrentRuns": 1}
    keeping = [
        each.name
        for each in resources("AWS::Glue::Job")
        if each.properties["DefaultArguments"]["--job-bookmark-option"] != "job-bookmark-disable"
    ]
    assert keeping == ["ScheduledJob"]
    assert resource("ScheduledIntakeWorkflow").properties["MaxConcurrentRuns"] == 1


def test_new_folders_only_are_crawled_and_no_schema_is_changed() -> None:
    crawler = resource("ScheduledCrawler").properties
    assert crawler["RecrawlPolicy"] == {"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"}
    # Glue forces both for this behaviour.
    assert crawler["SchemaChangePolicy"] == {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"}
    assert "Schedule" not in crawler
    partitions = json.loads(crawler["Configuration"])["CrawlerOutput"]["Partitions"]
    assert partitions == {"AddOrUpdateBehavior": "InheritFromTable"}


def test_the_crawler_looks_at_the_scheduled_datasets_that_have_a_bronze_table() -> None:
    plans = compile_contracts(Path(ROOT, "contracts"))
    wanted = {name for name, plan in plans.items() if plan.get("scheduled") and plan["bronze_table"]}
    targets = resource("ScheduledCrawler").properties["Targets"]["S3Targets"]
    assert {text(target["Path"]) for target in targets} == {
        f"s3://${{Storage.Outputs.BronzeBucketName}}/{name}/" for name in wanted
    }
    assert wanted == {"weather"}
