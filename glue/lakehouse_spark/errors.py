"""What can go wrong in a Spark job. One base, one sentence each; no message ever holds a value of a row.

    JobError
    ├── NotPublished      main is not what the run's branch was
    ├── BadPlan           the compiled contract asks for something this job cannot do
    ├── ModelBroken       a Gold model's result is not what its header promises
    └── RefreshFailed     some models of a refresh run could not be refreshed
"""

from __future__ import annotations


class JobError(Exception):
    """Base of everything a Spark job raises on purpose."""


class NotPublished(JobError):
    """A branch could not be published, or main was not what it should be afterwards."""


class BadPlan(JobError):
    """The plan asks for something this job cannot do; the sentence says what."""


class ModelBroken(JobError):
    """A Gold model's result is not what its header promises; the sentence names the promise."""


class RefreshFailed(JobError):
    """Some models of a refresh run could not be refreshed; the report says which and why."""
