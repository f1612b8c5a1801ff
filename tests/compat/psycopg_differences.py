"""What of psycopg's own suite passes plainly and not guarded, each with its reason.

The wall permits everything there, so that what is left is what a guarded connection does
otherwise for everybody. Keys are the names of tests without their parameters.
"""

RAW = (
    "pgconn is a facade for whoever is not psycopg: exec_, trace and their like would send and "
    "tell what is neither judged nor recorded"
)
QUEUES = "a pipeline's queues hold raw results and commands, so that they read empty for others"
NAME = "the class is tracewall's, and its name in repr() says so"
STOLEN = (
    "a server-side cursor gives only what it declared itself, and closes nothing else: a name "
    "tells nothing of what somebody else's query puts behind it"
)
BELOW = (
    "the test replaces the private _exec_command of the connection; FETCH is sent below it, for "
    "that is where commands that were not judged are stopped"
)
CHANCE = (
    "a race, of how long the program takes from a statement that fails to commit(): psycopg raises "
    "at the first error that it reads of a pipeline, and where that comes before the answer to "
    "COMMIT, this fails the rollback() that follows. With plain psycopg and a pause of 0.2 ms "
    "there, 44 of 60 runs fail, of 5 ms 59; without one none of 60. Guarded, recording the COMMIT "
    "is such a pause (15 of 60)"
)
EMPTY = "the server's last words, and the raw connection in an error, are kept from everybody"

_UNASYNC = {
    "test_connection": {
        "test_auto_transaction": RAW,
        "test_auto_transaction_fail": RAW,
        "test_commit": RAW,
        "test_context_active_rollback_no_clobber": RAW,
        "test_notice_handlers": RAW,
        "test_rollback": RAW,
    },
    "test_cursor": {"test_str": NAME},
    "test_cursor_client": {"test_str": NAME},
    "test_cursor_raw": {"test_str": NAME},
    "test_cursor_server": {
        "test_itersize": BELOW,
        "test_repr": NAME,
        "test_steal_cursor": STOLEN,
        "test_stolen_cursor_close": STOLEN,
    },
    "test_pipeline": {
        "test_errors_raised_on_commit": CHANCE,
        "test_executemany_trace": RAW,
        "test_executemany_trace_returning": RAW,
        "test_pipeline": QUEUES,
        "test_pipeline_exit_sync_trace": RAW,
        "test_pipeline_nested_sync_trace": RAW,
        "test_pipeline_processed_at_exit": QUEUES,
        "test_repr": NAME,
        "test_transaction_state_implicit_begin": RAW,
    },
    "test_transaction": {"test_context_active_rollback_no_clobber": RAW},
    "pool.test_pool": {"test_active_close": RAW},
    "pool.test_pool_null": {"test_active_close": RAW},
}
"""Of modules that have an asynchronous source, with the same tests."""

DIFFERENT: dict[str, str] = {
    f"tests.{module}{colour}::{test}": reason
    for module, tests in _UNASYNC.items()
    for test, reason in tests.items()
    for colour in ("", "_async")
} | {
    "tests.test_connection_info::test_attrs": EMPTY,
    "tests.test_connection_info::test_error_message": EMPTY,
    "tests.test_errors::test_diag_encoding": RAW,
    # Only with psycopg's implementation in Python, whose connection can be exchanged.
    "tests.test_prepared::test_deallocate_or_close": RAW,
    "tests.test_prepared_async::test_deallocate_or_close": RAW,
    "tests.test_errors::test_pgconn_error": EMPTY,
}
