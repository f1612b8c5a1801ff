"""Policies put on trial: tests of their decisions, and comparisons of one with another."""

from typing import Final

SUFFIX: Final = ".tracewall.toml"
"""How the names of files of policy tests end."""
