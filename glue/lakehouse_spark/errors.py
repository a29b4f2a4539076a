"""What can go wrong in a Spark job. One base, one sentence each; no message ever holds a value of a row.

JobError
├── NotPublished      main is not what the run's branch was
├── BranchLost        the run's branch is gone, or is no longer what the run wrote
├── BadPlan           the compiled contract or the manifest asks for something this job cannot do
├── CountsDiffer      rows written and rows counted are not the same
├── StillChanging     files changed again and again while they were read
├── ModelBroken       a Gold model's result is not what its header promises
├── RefreshFailed     some models of a refresh run could not be refreshed
├── MaintenanceFailed some tables of a maintenance run could not be maintained
├── FunctionFailed    a function that the job called failed
├── IntakeFailed      the new files of some scheduled datasets could not be taken in
└── JobFailed         what the job raises at its end, after failure.json was written
"""

from __future__ import annotations


class JobError(Exception):
    """Base of everything a Spark job raises on purpose."""


class NotPublished(JobError):  # noqa: N818 - named after what happened
    """A branch could not be published, or main was not what it should be afterwards."""


class BranchLost(JobError):  # noqa: N818 - named after what happened
    """The run's branch is gone or not at the run's own snapshot: somebody recovered the run meanwhile."""


class BadPlan(JobError):  # noqa: N818 - named after what happened
    """The plan or manifest asks for something this job cannot do; the sentence says what."""


class CountsDiffer(JobError):  # noqa: N818 - named after what happened
    """The audit found other row counts in the written snapshot than in the counted frame."""


class StillChanging(JobError):  # noqa: N818 - named after what happened
    """Files changed again each time the run left the changed ones out."""


class ModelBroken(JobError):  # noqa: N818 - named after what happened
    """A Gold model's result is not what its header promises; the sentence names the promise."""


class RefreshFailed(JobError):  # noqa: N818 - named after what happened
    """Some models of a refresh run could not be refreshed; the report says which and why."""


class MaintenanceFailed(JobError):  # noqa: N818 - named after what happened
    """Some tables of a maintenance run could not be maintained; the report says which and why."""


class FunctionFailed(JobError):  # noqa: N818 - named after what happened
    """A function that the job called failed; the sentence has its name and the error's."""


class IntakeFailed(JobError):  # noqa: N818 - named after what happened
    """The new files of some scheduled datasets could not be taken in; the sentence says which and why."""


class JobFailed(JobError):  # noqa: N818 - named after what happened
    """The end of a failed job: names the step and the kind of error, never a value."""
