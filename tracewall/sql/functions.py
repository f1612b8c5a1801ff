"""Which built-in functions and operators may be used, and what they do to a flow.

Only what is listed may be called. A listed name still means PostgreSQL's own function
only while no user-defined one of that name is visible; the reader checks that.
"""

from __future__ import annotations

from tracewall.sql.flow import How

_MEASURES = """
    length char_length character_length octet_length bit_length pg_column_size
    jsonb_array_length json_array_length array_length cardinality array_ndims
    array_lower array_upper jsonb_typeof json_typeof
"""

_PARTS = """
    coalesce to_jsonb to_json any_value first_value last_value nth_value lag lead
"""

_TAKEN = """
    jsonb_extract_path jsonb_extract_path_text json_extract_path json_extract_path_text
    array_agg jsonb_agg json_agg unnest jsonb_array_elements jsonb_array_elements_text
    json_array_elements json_array_elements_text
"""

_SLICES = """
    left right substr substring split_part string_to_array string_to_table regexp_match
    regexp_matches regexp_split_to_array regexp_split_to_table regexp_substr
"""

_COMPUTED = """
    abs ceil ceiling floor round trunc sign sqrt cbrt exp ln log log10 mod power div gcd lcm
    degrees radians sin cos tan asin acos atan atan2 pi width_bucket scale min_scale
    trim_scale random greatest least
    sum avg stddev stddev_pop stddev_samp variance var_pop var_samp corr covar_pop
    covar_samp regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx
    regr_sxy regr_syy bool_and bool_or every bit_and bit_or bit_xor mode percentile_cont
    percentile_disc
    row_number rank dense_rank percent_rank cume_dist ntile
    lower upper initcap btrim ltrim rtrim trim lpad rpad repeat reverse replace translate
    overlay strpos position concat concat_ws format
    md5 sha224 sha256 sha384 sha512 encode decode to_hex ascii chr quote_literal
    quote_ident quote_nullable starts_with array_to_string string_agg
    regexp_count regexp_instr regexp_like regexp_replace
    like ilike notlike
    similar_escape similar_to_escape
    like_escape normalize unistr convert_from convert_to to_char to_number to_ascii
    now current_timestamp statement_timestamp transaction_timestamp clock_timestamp
    localtime localtimestamp age date_part date_trunc date_bin extract isfinite
    justify_days justify_hours justify_interval make_date make_time make_timestamp
    make_timestamptz make_interval to_date to_timestamp timezone timeofday date_add
    date_subtract overlaps
    array_append array_cat array_prepend array_position array_positions array_remove
    array_replace array_fill array_to_json trim_array array_sample array_shuffle
    jsonb_build_object jsonb_build_array json_build_object json_build_array jsonb_object
    json_object jsonb_object_agg json_object_agg jsonb_strip_nulls json_strip_nulls
    jsonb_set jsonb_set_lax jsonb_insert jsonb_pretty jsonb_path_exists jsonb_path_match
    jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_contains
    jsonb_exists jsonb_object_keys json_object_keys jsonb_each jsonb_each_text json_each
    json_each_text json_to_record json_to_recordset jsonb_to_record jsonb_to_recordset
    gen_random_uuid uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7
    host family masklen netmask network broadcast hostmask abbrev set_masklen inet_merge
    inet_same_family
    lower_inc upper_inc lower_inf upper_inf isempty range_merge int4range int8range
    numrange tsrange tstzrange daterange
    to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery ts_rank
    ts_rank_cd ts_headline numnode querytree setweight strip tsvector_to_array
    acosd acosh array_dims array_reverse array_sort array_to_tsvector asind asinh atan2d atand
    atanh bit_count casefold cosd cosh cot cotd crc32 crc32c erf erfc factorial gamma lgamma get_bit
    get_byte set_bit set_byte is_normalized sind sinh tand tanh to_bin to_oct pow random_normal
    json_agg_strict json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict
    jsonb_agg_strict jsonb_object_agg_strict jsonb_object_agg_unique
    jsonb_object_agg_unique_strict jsonb_path_exists_tz jsonb_path_match_tz
    jsonb_path_query_array_tz jsonb_path_query_first_tz jsonb_path_query_tz
    json_to_tsvector jsonb_to_tsvector row_to_json multirange range_agg range_intersect_agg
    int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange
    parse_ident pg_size_pretty pg_size_bytes ts_delete ts_filter unicode_assigned unicode_version
    area center diameter diagonal height width radius npoints isclosed isopen ishorizontal
    isvertical isparallel isperp pclose popen slope point box circle polygon path line lseg
    bound_box date hashtext hashtextextended enum_first enum_last enum_range
    current_schemas current_user session_user system_user pg_backend_pid pg_client_encoding
    getdatabaseencoding pg_is_in_recovery pg_current_xact_id pg_current_xact_id_if_assigned
    pg_current_snapshot pg_snapshot_xip pg_snapshot_xmax pg_snapshot_xmin
    pg_visible_in_snapshot pg_xact_status txid_current txid_current_if_assigned
    txid_current_snapshot txid_snapshot_xip txid_snapshot_xmax txid_snapshot_xmin txid_status
    txid_visible_in_snapshot pg_trigger_depth
    num_nulls num_nonnulls generate_series generate_subscripts current_database
    current_schema version pg_typeof
"""

FUNCTIONS: dict[str, How] = {
    **dict.fromkeys(_MEASURES.split(), How.MEASURED),
    **dict.fromkeys(_PARTS.split(), How.PART),
    **dict.fromkeys(_TAKEN.split(), How.TAKEN),
    **dict.fromkeys(_SLICES.split(), How.SLICED),
    **dict.fromkeys(_COMPUTED.split(), How.DERIVED),
}
"""Allowed function names and what they do to the flow of their arguments."""

PATHS = frozenset(
    {
        "jsonb_extract_path",
        "jsonb_extract_path_text",
        "json_extract_path",
        "json_extract_path_text",
    }
)
"""Functions that take an unchanged part out of a JSON document, by a path."""

UNFAILING = frozenset(
    "lower upper initcap reverse left right btrim ltrim rtrim md5 sha224 sha256 sha384 sha512 "
    "ascii quote_literal quote_ident floor ceil ceiling sign isfinite".split()
)
"""Functions that give one value for any value, and never an error that depends on it."""

TELLING = frozenset(
    {
        "json_array_length",
        "jsonb_array_length",
        "json_array_elements",
        "json_array_elements_text",
        "jsonb_array_elements",
        "jsonb_array_elements_text",
        "unnest",
    }
)
"""Functions whose errors, or whose number of rows, tell of a value that they keep unchanged."""

SINGLE = frozenset(
    {
        *(16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 142, 600, 601, 602, 603, 604, 628, 650, 700),
        *(701, 718, 774, 790, 829, 869, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266, 1560),
        *(1562, 1700, 2950, 3220, 3614, 3615, 3802, 3904, 3906, 3908, 3910, 3912, 3926, 4072),
        *(4451, 4532, 4533, 4534, 4535, 4536, 5069),
    }
)
"""PostgreSQL's types (oids, pg_type.dat) that are no arrays: any values of them make one array.

Arrays make one only where all have the same size, so that an error tells of sizes.
"""

SEQUENCES = frozenset({"nextval", "currval", "setval"})
"""Functions of sequences, whose first argument names one."""

ADVISORY = frozenset(
    """
    pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all
    pg_advisory_unlock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared
    pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock
    pg_try_advisory_xact_lock_shared
    """.split()
)
"""Functions of advisory locks."""

SINGLE_VALUED = frozenset(
    "lower upper btrim ltrim rtrim concat md5 string_to_array now date_trunc to_timestamp".split()
)
"""Functions that make one constant of constants, the same for every row."""

ORDERING_AGGREGATES = frozenset({"min", "max"})
"""Aggregates that hand out one of their values unchanged, chosen by comparing them all."""

COMPARISONS = frozenset({"=", "<>", "!=", "<", ">", "<=", ">=", "~~", "~~*", "!~~", "!~~*"}) | {
    "~", "~*", "!~", "!~*", "@>", "<@", "?", "?|", "?&", "&&", "@?", "@@", "@@@", "^@",
    "~<~", "~<=~", "~>~", "~>=~", "<<", ">>", "<<=", ">>=", "-|-", "&<", "&>",
    "~=", "<<|", "|>>", "&<|", "|&>", "<^", ">^", "?#", "?-", "?-|", "?||", "*=", "*<>",
}  # fmt: skip
"""Operators that answer with a truth value about their operands."""

EQUALITIES = frozenset({"=", "<>", "!="})
"""Operators that tell no more than whether two values are equal."""

EXTRACTIONS = frozenset({"->", "->>", "#>", "#>>"})
"""Operators that take an unchanged part out of a JSON document."""

ARITHMETIC = frozenset(
    {
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "|/",
        "||/",
        "@",
        "&",
        "|",
        "#",
        "~",
        "||",
        "#-",
        "!!",
        "<->",
        "##",
        "@-@",
    }
)
"""Operators that compute something new."""

OPERATORS = COMPARISONS | EXTRACTIONS | ARITHMETIC
"""Every operator that may be used."""

TABLE_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "generate_series": (),
    "generate_subscripts": (),
    "unnest": (),
    "jsonb_array_elements": ("value",),
    "jsonb_array_elements_text": ("value",),
    "json_array_elements": ("value",),
    "json_array_elements_text": ("value",),
    "jsonb_each": ("key", "value"),
    "jsonb_each_text": ("key", "value"),
    "json_each": ("key", "value"),
    "json_each_text": ("key", "value"),
}
"""Functions that give rows, and their columns' names (empty: one, named after the alias).

Any other listed function gives one column of that name, too.
"""

RECORDS = frozenset("json_to_record json_to_recordset jsonb_to_record jsonb_to_recordset".split())
"""Functions that give columns which the statement defines."""
