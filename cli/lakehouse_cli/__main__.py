"""``python -m lakehouse_cli`` is the ``lakehouse`` command."""

from lakehouse_cli.main import run

run()
