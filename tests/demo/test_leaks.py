from collections import Counter
from random import Random

import psycopg
from hypothesis import given
from hypothesis import strategies as st

from tracewall.demo.leaks import FREE_TEXT, Needles, expose, shows, stored, texts, unmasked
from tracewall.demo.secrets import Planted, any_secret

TEXT = st.text("ab@-1", max_size=60)
VALUE = st.text("ab@-1", min_size=1, max_size=12)


def planted(*values):
    """Give places, one for each value."""
    return [Planted("kind", value, "t", at, "c") for at, value in enumerate(values)]


def test_plain_psycopg_shows_every_planted_secret(store):
    """The measure finds all there are where nothing is masked, so finding none means something."""
    with psycopg.connect(store.admin_dsn) as conn:
        exposure = expose(conn, FREE_TEXT, store.planted)
    assert exposure.read == exposure.seen.total() == store.filled.planted_count
    assert exposure.seen == Counter(each.kind for each in store.planted)


def test_every_planted_place_is_among_those_read(store):
    """The columns with free text are those that secrets are planted in, and no less."""
    columns = {(table, column) for table, how in FREE_TEXT.items() for column in how.columns}
    assert {(each.table, each.column) for each in store.planted} <= columns


def test_tables_that_were_not_read_are_not_counted_as_read(store):
    """Fewer tables, fewer places read."""
    with psycopg.connect(store.admin_dsn) as conn:
        exposure = expose(conn, ["traces.steps"], store.planted)
    assert exposure.read == sum(each.table == "traces.steps" for each in store.planted)


def test_a_secret_in_another_place_is_a_stray(store):
    """A whole secret counts wherever it shows, not only where it was planted."""
    moved = [
        Planted(each.kind, each.value, "traces.runs", "nowhere", "x") for each in store.planted
    ]
    with psycopg.connect(store.admin_dsn) as conn:
        exposure = expose(conn, FREE_TEXT, moved)
    assert (exposure.read, exposure.seen.total()) == (0, 0)
    assert set(exposure.strays) == {each.kind for each in store.planted}


def test_unmasked_values_are_counted_by_column(store):
    """Read as they are stored, all values of the asked columns count as not masked."""
    with psycopg.connect(store.admin_dsn) as conn:
        secret = stored(conn)
        read, same = unmasked(conn, secret, ["api_key", "client_ip"])
        assert unmasked(conn, {}, ["api_key"]) == (0, Counter())
    assert read == same.total()
    assert same["api_key"] == store.filled.runs
    assert "user_email" not in same


@given(st.lists(VALUE, max_size=8), TEXT)
def test_needles_find_what_a_plain_search_finds(values, text):
    """Whatever the secrets and the text: exactly those that are in it are found."""
    found = Needles(planted(*values)).found(text)
    assert {value for value, _ in found} == {value for value in values if value in text}


@given(st.integers(0, 2**32), st.data())
def test_half_of_a_secret_counts_as_seen(seed, data):
    """Any half of a secret, in one piece, counts; the beginning alone does not."""
    value = any_secret(Random(seed)).value
    half = max(8, (len(value) + 1) // 2)
    at = data.draw(st.integers(0, len(value) - half))
    assert shows(f"before {value[at : at + half]} after", value)
    assert shows(value, value)
    assert not shows("before [masked] after", value)


@given(st.recursive(VALUE, lambda inner: st.lists(inner) | st.dictionaries(VALUE, inner)))
def test_no_text_of_a_document_is_left_out(document):
    """Texts, lists and objects at any depth, keys too, are searched."""

    def all_of(value):
        if isinstance(value, str):
            return [value]
        if isinstance(value, list):
            return [text for inner in value for text in all_of(inner)]
        return [text for name, inner in value.items() for text in [name, *all_of(inner)]]

    assert list(texts(document)) == all_of(document)
