"""Intake: every shape of event, every kind of key, and what an error of the ledger does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lakehouse import intake
from lakehouse.errors import EventError, LedgerUnavailable
from lakehouse.ledger import NO_DATASET, ObjectVersion, is_newer

from .fakes import fake_lake
from .world import event, version


def message(body: Any, message_id: str = "m1") -> intake.Message:
    return intake.Message(message_id, body)


def notification(*keys: str) -> dict[str, Any]:
    """S3's direct notification: keys are URL-encoded, with + for a space."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventName": "ObjectCreated:Put",
                "eventTime": "2024-05-01T07:01:00.123Z",
                "s3": {
                    "bucket": {"name": "lake-dev-bronze"},
                    "object": {
                        "key": key,
                        "size": 10,
                        "eTag": "e",
                        "versionId": "v1",
                        "sequencer": "0055AED6DCD90281E5",
                    },
                },
            }
            for key in keys
        ]
    }


# --- events -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "flights/a+b.csv",
        "flights/50%25 off.csv",
        "flights/a b.csv",
        "flights/münchen/日本.csv",
        "flights/%2F",
    ],
)
def test_a_key_in_eventbridge_is_taken_as_it_stands(key: str):
    """Fault 12 of docs/testing.md."""
    one = version(key)
    assert list(intake.object_versions(event(one))) == [one]


def test_a_key_in_a_direct_notification_is_decoded():
    """Fault 12 of docs/testing.md."""
    body = notification("flights/a+b%2Bc%25.csv", "flights/m%C3%BCnchen.csv")
    assert [one.key for one in intake.object_versions(body)] == ["flights/a b+c%.csv", "flights/münchen.csv"]


def test_a_notification_and_an_event_of_one_version_say_the_same():
    one = ObjectVersion("flights/a.csv", "v1", 10, "e", "0055AED6DCD90281E5", "2024-05-01T07:01:00Z")
    assert list(intake.object_versions(notification("flights/a.csv"))) == [one]
    assert list(intake.object_versions(event(one))) == [one]


def test_s3s_test_event_is_no_file():
    assert list(intake.object_versions({"Service": "Amazon S3", "Event": "s3:TestEvent"})) == []


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"detail": {}},
        {**event(version("flights/a.csv")), "detail-type": "Object Deleted"},
        {**event(version("flights/a.csv")), "time": "yesterday"},
        {"Records": [{"s3": {}}]},
        {"Records": 7},
    ],
)
def test_what_is_no_event_of_s3_fails_by_itself(body: Any):
    lake = fake_lake()
    with pytest.raises(EventError):
        list(intake.object_versions(body))
    good = message(event(version("flights/a.csv")), "good")
    result = intake.take_in(lake, [message(body, "bad"), good])
    assert result.batch_response() == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert result.new == 1


def test_a_body_that_is_no_json_fails_by_itself():
    messages = list(
        intake.parse_messages([("bad", "{"), ("good", json.dumps(event(version("flights/a.csv"))))])
    )
    assert intake.take_in(fake_lake(), messages).failed == {"bad": "EventError"}


def test_what_is_taken_in_by_schedule_is_counted_and_left_alone():
    lake = fake_lake()
    bodies = [event(version(key)) for key in ("tides/a.csv", "tides/_SUCCESS", "flights/a.csv")]
    result = intake.take_in(lake, [message(body, str(n)) for n, body in enumerate(bodies)])
    assert (result.scheduled, result.new, result.ignored, result.failed) == (2, 1, 0, {})
    assert result.counts()["scheduled"] == 2
    assert lake.ledger.writers() == ["promote:flights"]
    assert list(lake.ledger.files("tides")) == []


# --- keys -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "dataset", "reason"),
    [
        ("flights/a.csv", "flights", ""),
        ("flights/year=2013/month=1/a.csv", "flights", ""),
        ("a.csv", NO_DATASET, "no folder"),
        ("/a.csv", NO_DATASET, "name"),
        ("Flights/a.csv", NO_DATASET, "name"),
        ("flights__quarantine/a.csv", NO_DATASET, "name"),
        ("flüge/a.csv", NO_DATASET, "name"),
        ("a" * 64 + "/a.csv", NO_DATASET, "name"),
        ("../a.csv", NO_DATASET, "name"),
        ("_tmp/a.csv", NO_DATASET, "name"),
        ("flights/", "flights", "folder marker"),
        ("flights/year=2013/", "flights", "folder marker"),
        ("flights/_SUCCESS", "flights", "hidden"),
        ("flights/.DS_Store", "flights", "hidden"),
        ("flights/_temporary/0/a.csv", "flights", "hidden"),
        ("flights/.tmp/a.csv", "flights", "hidden"),
    ],
)
def test_where_a_key_belongs(key: str, dataset: str, reason: str):
    placed = intake.place(key)
    assert placed.dataset == dataset
    assert reason in placed.reason
    assert bool(reason) == bool(placed.reason)


def test_an_ignored_file_is_in_the_ledger_with_its_reason_and_starts_nothing():
    lake = fake_lake()
    bodies = [event(version(key)) for key in ("a.csv", "Flights/a.csv", "flights/_SUCCESS")]
    result = intake.take_in(lake, [message(body, str(at)) for at, body in enumerate(bodies)])
    assert (result.ignored, result.new, result.failed) == (3, 0, {})
    assert {item["key"]: item["state"] for item in lake.ledger.files(NO_DATASET)} == {
        "a.csv": "IGNORED",
        "Flights/a.csv": "IGNORED",
    }
    (hidden,) = lake.ledger.files("flights", ["IGNORED"])
    assert hidden["reason"] == "hidden: a part of the path starts with '.' or '_'"
    assert lake.executions.known == {}
    assert lake.ledger.datasets() == []


# --- what is written --------------------------------------------------------------------------


def test_a_new_file_is_a_version_a_head_a_pointer_and_a_file_of_its_dataset():
    lake = fake_lake()
    intake.take_in(lake, [message(event(version("flights/a.csv")))])
    item = lake.ledger.version("flights/a.csv", "v1")
    assert item is not None
    assert (item["state"], item["dataset"], item["size_bytes"], item["sequencer"]) == (
        "PENDING",
        "flights",
        10,
        "0000000000000001",
    )
    assert lake.ledger.heads(["flights/a.csv"])["flights/a.csv"]["version_id"] == "v1"
    assert [file.key for file in lake.ledger.pending("flights")] == ["flights/a.csv"]
    assert [file["key"] for file in lake.ledger.files("flights")] == ["flights/a.csv"]
    assert lake.ledger.datasets() == ["flights"]
    (run_id,) = lake.executions.known
    assert run_id.startswith("flights-20240501T0700")
    assert lake.executions.requests[run_id] == {
        "runId": run_id,
        "writer": "promote:flights",
        "dataset": "flights",
    }


def test_a_known_version_goes_on_while_unfinished_and_counts_no_more_when_finished():
    lake = fake_lake()
    one = [message(event(version("flights/a.csv")))]
    assert intake.take_in(lake, one).new == 1
    assert intake.take_in(lake, one).unfinished == 1
    lake.store.items["OBJECT#flights/a.csv", "VERSION#v1"]["state"] = "PROMOTED"
    assert intake.take_in(lake, one).finished == 1
    assert lake.store.items["WRITER#promote:flights", "LEASE"]["arrivals"] == 2


@pytest.mark.parametrize(
    ("candidate", "head", "newer"),
    [
        ("0055AED6DCD90281E5", "0055AED6DCD90281E4", True),
        ("0055AED6DCD90281E4", "0055AED6DCD90281E5", False),
        ("0055AED6DCD90281E5AA", "0055AED6DCD90281E5", True),
        ("0055AED6DCD90281E", "0055AED6DCD90281E5", False),
        ("0055AED6DCD90281F", "0055AED6DCD90281E5", True),
    ],
)
def test_sequencers_are_padded_on_the_right_and_compared_as_text(candidate: str, head: str, newer: bool):
    later = version("flights/a.csv", 2, sequencer=candidate)
    known = {"version_id": "v1", "sequencer": head, "event_time": "2024-05-01T07:01:00Z"}
    assert is_newer(later, known) is newer


def test_without_a_sequencer_time_decides_and_s3_where_time_cannot():
    listed = version("flights/a.csv", 2)._replace(sequencer="")
    known = {"version_id": "v1", "sequencer": "", "event_time": "2024-05-01T07:01:00Z"}
    assert is_newer(listed, known) is True
    assert is_newer(listed._replace(event_time="2024-05-01T07:00:59Z"), known) is False
    same_second = listed._replace(event_time="2024-05-01T07:01:00Z")
    assert is_newer(same_second, known) is None
    for current, head in (("v2", "v2"), ("v1", "v1")):
        lake = fake_lake()
        lake.ledger.register(version("flights/a.csv", 1), "flights", "now", lake.bronze.current_version)
        lake.bronze.put(version("flights/a.csv", int(current[1])))
        lake.ledger.register(same_second, "flights", "now", lake.bronze.current_version)
        assert lake.ledger.heads(["flights/a.csv"])["flights/a.csv"]["version_id"] == head


# --- errors -----------------------------------------------------------------------------------


def test_an_error_of_the_ledger_fails_its_messages_and_no_others(monkeypatch: pytest.MonkeyPatch):
    """Fault 6 of docs/testing.md."""
    lake = fake_lake()
    transact = lake.store.transact

    def throttled(writes: Any) -> None:
        if "flights/b.csv" in writes[0].key[0]:
            raise LedgerUnavailable("throttled")
        transact(writes)

    monkeypatch.setattr(lake.store, "transact", throttled)
    keys = ("flights/a.csv", "flights/b.csv", "weather/w.csv")
    result = intake.take_in(lake, [message(event(version(key)), key) for key in keys])
    assert result.failed == {"flights/b.csv": "LedgerUnavailable"}
    assert sorted(result.started) == ["flights", "weather"]


def test_when_arrivals_cannot_be_counted_all_messages_of_the_dataset_come_again(
    monkeypatch: pytest.MonkeyPatch,
):
    """Fault 6 of docs/testing.md."""
    lake = fake_lake()
    write = lake.store.write

    def throttled(one: Any) -> Any:
        if one.key == ("WRITER#promote:flights", "LEASE"):
            raise LedgerUnavailable("throttled")
        return write(one)

    monkeypatch.setattr(lake.store, "write", throttled)
    keys = ("flights/a.csv", "flights/b.csv", "weather/w.csv")
    result = intake.take_in(lake, [message(event(version(key)), key) for key in keys])
    assert sorted(result.failed) == ["flights/a.csv", "flights/b.csv"]
    assert sorted(result.started) == ["weather"]


def test_what_is_logged_of_a_batch_holds_no_key():
    lake = fake_lake()
    result = intake.take_in(lake, [message(event(version("flights/secret.csv")))])
    assert "secret" not in json.dumps(result.counts())
