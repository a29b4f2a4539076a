"""How often EventBridge's schedule expressions run in an average month.

Syntax: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import re
from datetime import date, timedelta

from lakehouse_cli.errors import TemplateError

MONTHS = 12
RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
MINUTES = {"minute": 1, "hour": 60, "day": 24 * 60}
CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
ORDINARY_YEAR = date(2026, 1, 1)
DAYS_A_YEAR = 365


def runs_per_month(expression: str, hours_per_month: float) -> float:
    """Runs in an average month. Raises ``TemplateError`` for what is not understood."""
    if expression.startswith("at("):
        return 0.0
    if rate := RATE.fullmatch(expression):
        return hours_per_month * 60 / (int(rate[1]) * MINUTES[rate[2]])
    cron = CRON.fullmatch(expression)
    if cron is None or cron[6] != "*":
        raise _not_understood(expression)
    try:
        return _times_a_day(cron) * _days_a_year(cron) / MONTHS
    except ValueError as wrong:
        raise _not_understood(expression) from wrong


def _not_understood(expression: str) -> TemplateError:
    return TemplateError(
        f"The schedule {expression} is not understood (cli/lakehouse_cli/cost/schedules.py)."
    )


def _times_a_day(cron: re.Match[str]) -> int:
    return len(_values(cron[1], 0, 59)) * len(_values(cron[2], 0, 23))


def _days_a_year(cron: re.Match[str]) -> int:
    days_of_month = _values(cron[3], 1, 31)
    months = _values(cron[4], 1, 12, MONTH_NAMES)
    weekdays = _values(cron[5], 1, 7, WEEKDAYS)
    year = (ORDINARY_YEAR + timedelta(days=n) for n in range(DAYS_A_YEAR))
    return sum(
        day.month in months and day.day in days_of_month and day.isoweekday() % 7 + 1 in weekdays
        for day in year
    )


def _values(field: str, low: int, high: int, names: tuple[str, ...] = ()) -> set[int]:
    """The numbers a field stands for. Raises ``ValueError`` for L, W and #, which no schedule here uses."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span in {"*", "?"}:
            first, last = low, high
        else:
            start, _, end = span.partition("-")
            first = _number(start, low, names)
            last = _number(end, low, names) if end else (high if step else first)
        found |= set(range(first, last + 1, int(step or 1)))
    if not found or min(found) < low or max(found) > high:
        raise ValueError(field)
    return found


def _number(text: str, low: int, names: tuple[str, ...]) -> int:
    return names.index(text) + low if text in names else int(text)
