"""PostgreSQL's own catalog: which of its relations may be granted, and what looks into them."""

from __future__ import annotations

SCHEMA = "pg_catalog"

STANDARD = "information_schema"
"""The schema of the views by which the SQL standard has a catalog told."""

OWN = frozenset({SCHEMA, STANDARD})
"""The schemas of PostgreSQL's own relations: a grant has to spell them."""

SYSTEM_RELATIONS: tuple[str, ...] = tuple(
    """
    pg_am pg_attrdef pg_attribute pg_auth_members pg_available_extensions pg_cast pg_class
    pg_collation pg_constraint pg_database pg_depend pg_description pg_enum pg_extension
    pg_foreign_table pg_index pg_indexes pg_inherits pg_language pg_locks pg_namespace pg_opclass
    pg_operator pg_partitioned_table pg_proc pg_range pg_roles pg_sequence pg_tables
    pg_tablespace pg_timezone_abbrevs pg_timezone_names pg_trigger pg_type
    """.split()
)
"""Relations of pg_catalog that a policy can grant.

They tell what there is, and hold no values of rows: statistics (``pg_stats``), other
sessions' statements (``pg_stat_activity``), settings, passwords, positions of sequences and
large objects are not among them. ``pg_locks`` may be locked (advisory locks) but not read.
"""

STANDARD_RELATIONS: tuple[str, ...] = tuple(
    """
    applicable_roles character_sets check_constraint_routine_usage check_constraints
    collation_character_set_applicability collations column_column_usage column_domain_usage
    column_privileges column_udt_usage columns constraint_column_usage constraint_table_usage
    domain_constraints domain_udt_usage domains element_types enabled_roles
    information_schema_catalog_name key_column_usage parameters referential_constraints
    role_column_grants role_routine_grants role_table_grants role_usage_grants
    routine_column_usage routine_privileges routine_routine_usage routine_sequence_usage
    routine_table_usage routines schemata sequences table_constraints table_privileges tables
    transforms triggered_update_columns triggers udt_privileges usage_privileges
    user_defined_types view_column_usage view_routine_usage view_table_usage views
    """.split()
)
"""Relations of information_schema that a policy can grant.

They show a role what it may use, and the definitions of views and checks to their owners
only. Foreign servers and user mappings, whose options hold passwords, are not among them.
"""

UNREADABLE = frozenset({"pg_locks"})
"""Those of them that are not read: they would tell what other sessions do."""

HOLDING = frozenset({("pg_attribute", "attmissingval")})
"""Their columns that hold values of rows all the same, which nobody is granted: the one that
rows have which are older than their column."""

SYSTEM_COLUMNS = {"ctid": -1, "xmin": -2, "cmin": -3, "xmax": -4, "cmax": -5, "tableoid": -6}
"""Columns that every table has, by name, with their attribute numbers (sysattr.h)."""

LOOKING: dict[str, str] = {
    **dict.fromkeys("format_type to_regtype regtype pg_type_is_visible".split(), "pg_type"),
    **dict.fromkeys(
        "to_regclass regclass pg_table_is_visible pg_get_viewdef pg_relation_is_publishable "
        "pg_get_partkeydef pg_get_serial_sequence".split(),
        "pg_class",
    ),
    **dict.fromkeys(
        "to_regnamespace regnamespace pg_my_temp_schema pg_is_other_temp_schema".split(),
        "pg_namespace",
    ),
    **dict.fromkeys(
        "to_regproc to_regprocedure regproc regprocedure pg_function_is_visible "
        "pg_get_function_arguments pg_get_function_identity_arguments pg_get_function_result "
        "pg_get_functiondef".split(),
        "pg_proc",
    ),
    **dict.fromkeys("to_regoper to_regoperator regoper regoperator".split(), "pg_operator"),
    **dict.fromkeys("regcollation to_regcollation pg_collation_is_visible".split(), "pg_collation"),
    **dict.fromkeys("to_regrole regrole pg_get_userbyid".split(), "pg_roles"),
    "pg_get_expr": "pg_attrdef",
    "pg_get_constraintdef": "pg_constraint",
    "pg_get_indexdef": "pg_index",
    "pg_index_column_has_property": "pg_index",
    "pg_indexam_has_property": "pg_am",
    "pg_get_triggerdef": "pg_trigger",
    "obj_description": "pg_description",
    "col_description": "pg_description",
    "shobj_description": "pg_description",
    "pg_encoding_to_char": "pg_database",
    "pg_opclass_is_visible": "pg_opclass",
}
"""Functions, and types that names are cast to, which look into a relation of pg_catalog."""
