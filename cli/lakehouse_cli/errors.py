"""What the command can say went wrong. Each class has an exit code of its own; ``docs/cli.md`` lists them.

CommandError            1  the thing was tried and failed
├── NotAnswered         1  a service did not answer a question about the account
├── TemplateError       1  a template says something that cannot be resolved here
├── UsageError          2  the command line makes no sense
├── NotFoundError       3  not deployed, not running, or no such name
├── TimedOutError       4  still not done when the time was up
└── AccessError         5  no credentials, or AWS refused them
"""

from __future__ import annotations

from lakehouse.errors import LakehouseError


class CommandError(LakehouseError):
    """The thing was tried and failed. The message says what is wrong and what to do."""

    exit_code = 1


class NotAnswered(CommandError):  # noqa: N818 - what happened; whether it is an error, the caller decides
    """A service did not answer a question about the account. The message says which, and the error's code."""


class TemplateError(CommandError):
    """A template says something that cannot be resolved here."""


class UsageError(CommandError):
    """The command line makes no sense."""

    exit_code = 2


class NotFoundError(CommandError):
    """Not deployed, not running, or no such name."""

    exit_code = 3


class TimedOutError(CommandError):
    """Still not done when the time was up."""

    exit_code = 4


class AccessError(CommandError):
    """No credentials, or AWS refused them."""

    exit_code = 5
