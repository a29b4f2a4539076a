"""Every error the lakehouse raises, under one base.

    LakehouseError
    ├── SettingsError            the environment of a function is incomplete or wrong
    ├── DefinitionError          contracts or models are wrong (carries every problem and its remedy)
    ├── EventError               an event does not have the shape its source promises
    ├── StaleRun                 a run met a lease that is no longer its own
    ├── LedgerError
    │   ├── ConditionFailed      a conditional write found another state than it expected
    │   ├── LedgerUnavailable    the ledger throttled, refused or did not answer
    │   └── LedgerInconsistent   the ledger holds what the protocol rules out
    ├── AwsError                 a call to another AWS service failed (carries service, operation and code)
    ├── ObjectMissing            an object of the operations bucket that must be there is not
    ├── JobStillRunning          a Glue job that was told to stop has not stopped yet
    ├── SweepIncomplete          a sweep could not see to some writers; it saw to the others
    ├── MaintenanceIncomplete    some writers could not be asked for maintenance; the others were
    ├── LineageUnknown           a question about a table, column or partition that no run has written
    └── FilesFault               the files of a batch are the reason, not the environment
        └── SchemaNotFound       a crawler found no table in the files of a dataset without a contract

No message carries a value of a row. Step Functions names a failed task by its error's class, so
recovery tells `FilesFault` from the rest by name.
"""

from __future__ import annotations


class LakehouseError(Exception):
    """The base of every error of the lakehouse."""


class SettingsError(LakehouseError):
    """The environment of a function is incomplete or wrong."""


class DefinitionError(LakehouseError):
    """Contracts or models are wrong. ``problems`` holds all of them, each a sentence with its place."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class EventError(LakehouseError):
    """An event does not have the shape its source promises."""


class StaleRun(LakehouseError):  # noqa: N818 - the state machine's documentation knows it by this name
    """A run met a lease that is no longer its own: somebody recovered it. It ends and harms nothing."""


class LedgerError(LakehouseError):
    """Something is wrong with the ledger, or with reaching it."""


class ConditionFailed(LedgerError):  # noqa: N818 - DynamoDB's own word for it
    """A conditional write found another state than expected. ``failed`` holds the positions in the call."""

    def __init__(self, failed: tuple[int, ...]) -> None:
        super().__init__(f"condition failed for write {', '.join(map(str, failed))}")
        self.failed = failed


class LedgerUnavailable(LedgerError):  # noqa: N818 - reads as the sentence it is
    """The ledger throttled, refused or did not answer."""


class LedgerInconsistent(LedgerError):  # noqa: N818 - reads as the sentence it is
    """The ledger holds what the protocol rules out."""


class AwsError(LakehouseError):
    """A call to an AWS service failed."""

    def __init__(self, service: str, operation: str, code: str) -> None:
        super().__init__(f"{service} {operation} failed: {code}")
        self.service = service
        self.operation = operation
        self.code = code


class ObjectMissing(LakehouseError):  # noqa: N818 - reads as the sentence it is
    """An object of the operations bucket that must be there is not."""


class JobStillRunning(LakehouseError):  # noqa: N818 - reads as the sentence it is
    """A Glue job that was told to stop has not stopped yet; recovery is tried again."""


class SweepIncomplete(LakehouseError):  # noqa: N818 - reads as the sentence it is
    """A sweep could not see to some writers; it saw to the others."""


class MaintenanceIncomplete(LakehouseError):  # noqa: N818 - reads as the sentence it is
    """Some writers could not be asked for maintenance; the others were."""


class LineageUnknown(LakehouseError):  # noqa: N818 - reads as the sentence it is
    """A question about the lineage of a table, column or partition that no run has written."""


class FilesFault(LakehouseError):  # noqa: N818 - a class of failures, not one error
    """The files of a batch are the reason of a failure, not the environment: the batch is split."""


class SchemaNotFound(FilesFault):
    """A crawler found no table in the files of a dataset without a contract."""


def files_fault_names() -> frozenset[str]:
    """The class names of all errors that blame a batch's files, as a state machine reports them."""
    names = {FilesFault.__name__}
    waiting = list(FilesFault.__subclasses__())
    while waiting:
        kind = waiting.pop()
        names.add(kind.__name__)
        waiting.extend(kind.__subclasses__())
    return frozenset(names)
