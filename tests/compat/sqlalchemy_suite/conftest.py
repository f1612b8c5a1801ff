"""SQLAlchemy's own pytest plugin, with our dialect known to it."""

import permitted as permitted
import pytest
from sqlalchemy.dialects import registry

registry.register("postgresql.tracewall", "tracewall.sqlalchemy", "TracewallDialect")
registry.register("postgresql.tracewall_async", "tracewall.sqlalchemy", "AsyncTracewallDialect")
pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F403
