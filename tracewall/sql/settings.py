"""SET, SHOW, RESET and their functions: the parameters that a statement may see or change.

1. Only listed parameters are set: none that changes what a statement means
   (``search_path``, ``standard_conforming_strings``), who acts (``role``), what is hidden
   (``row_security``, settings of one's own, which have a dot), or how the text of a value
   is spelled where masks and detectors look (``bytea_output``, ``client_encoding``).
2. A value is a literal; that of ``set_config`` may be a parameter too, but for those
   parameters of which only some values are harmless.
3. A parameter is named by a literal.
"""

from __future__ import annotations

import re

from tracewall.sql.comparing import is_constant
from tracewall.sql.grammar import Node
from tracewall.sql.scope import Unknowable

_ANY = ""
SETTABLE: dict[str, str] = {
    **dict.fromkeys(
        "statement_timeout lock_timeout idle_in_transaction_session_timeout idle_session_timeout "
        "transaction_timeout timezone application_name intervalstyle jit "
        "work_mem maintenance_work_mem plan_cache_mode max_parallel_workers_per_gather "
        "random_page_cost seq_page_cost effective_cache_size synchronous_commit "
        "constraint_exclusion from_collapse_limit join_collapse_limit "
        "transaction_isolation transaction_read_only transaction_deferrable "
        "default_transaction_isolation default_transaction_read_only "
        "default_transaction_deferrable".split(),
        _ANY,
    ),
    # Other styles than ISO are spelled as psycopg, and so a mask, may not read them.
    "datestyle": r"iso(\s*,\s*(mdy|dmy|ymd|us|european|noneuropean|euro))?",
    # With fewer digits a number is rounded before its mask sees it, to either side.
    "extra_float_digits": r"[0-3]",
    # Lower levels show what the server logs.
    "client_min_messages": r"notice|warning|error",
}
"""Parameters that may be set, and a pattern of their harmless values (empty: all are)."""

_PLANNER = re.compile(r"enable_[a-z_]+")
SHOWN = frozenset(SETTABLE) | frozenset(
    "server_version server_version_num server_encoding client_encoding search_path "
    "standard_conforming_strings in_hot_standby max_identifier_length integer_datetimes "
    "max_index_keys block_size lc_collate lc_ctype lc_messages lc_monetary lc_numeric lc_time "
    "bytea_output default_text_search_config default_table_access_method "
    "default_toast_compression default_tablespace array_nulls row_security "
    "session_replication_role is_superuser session_authorization role max_connections "
    "superuser_reserved_connections".split()
)
"""Parameters that may be shown besides those that may be set."""

_SPELLED = {"timezone": "TimeZone", "datestyle": "DateStyle", "intervalstyle": "IntervalStyle"}
MULTIPLE = frozenset({"TRANSACTION", "SESSION CHARACTERISTICS"})
"""What else SET takes: the modes of transactions."""


def may_be_shown(name: str) -> bool:
    """Tell whether a parameter may be shown."""
    return name.lower() in SHOWN or bool(_PLANNER.fullmatch(name.lower()))


def spelled(name: str) -> str:
    """Give a parameter's name as the server titles it."""
    return _SPELLED.get(name.lower(), name.lower())


def setting(
    name: str, values: list[Node] | None, called: str = "a parameter"
) -> tuple[str, str | None]:
    """Give a parameter that is set, and its value: None where it is not known.

    Args:
        name: the parameter, in any spelling.
        values: the literals of its value; None where it becomes its default.
        called: what a refusal calls it; a name that is a literal is not repeated.

    Raises:
        Unknowable: it may not be set, not in this way, or not to this value.
    """
    known = name.lower()
    if known not in SETTABLE and not _PLANNER.fullmatch(known):
        raise Unknowable(f"{called} is not on the list of those that may be set")
    if values is None:
        return known, None
    if not all(is_constant(value) for value in values):
        raise Unknowable(f"{called} is set to what is no literal; write its value out")
    texts = [literal(value) for value in values]
    value = None if None in texts else ", ".join(text or "" for text in texts)
    pattern = SETTABLE.get(known, _ANY)
    if pattern and not (value and re.fullmatch(pattern, value.strip().lower())):
        raise Unknowable(f"{called} is set to a value that is not on the list")
    return known, value


def literal(node: Node) -> str | None:
    """Give the text of a literal; None for anything else."""
    if "TypeCast" in node and set(node["TypeCast"]["arg"]) == {"A_Const"}:
        node = node["TypeCast"]["arg"]
    constant = node.get("A_Const")
    if constant is None:
        return None
    for kind, key in (("sval", "sval"), ("ival", "ival"), ("fval", "fval"), ("boolval", "boolval")):
        if kind in constant:
            default = {"sval": "", "ival": 0, "boolval": False}.get(kind, "")
            return (
                str(constant[kind].get(key, default)).lower()
                if kind == "boolval"
                else str(constant[kind].get(key, default))
            )
    return None
