"""The command line as a person meets it, for what needs torch."""

from tests.cli.conftest import smartbox

__all__ = ["smartbox"]
