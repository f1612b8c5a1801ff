"""JSON documents: every text searched, telling keys hidden, the shape kept."""

from __future__ import annotations

import json
import time
import traceback
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.masking.detectors import Detectors
from tracewall.masking.documents import is_secret, mask_document
from tracewall.masking.methods import MAX_DEPTH, MaskFailed

SECRET_KEYS = """
password PASSWORD pass db.password user_password passwords pwd dbPwd passphrase secret clientSecret
client_secret API_KEY apiKey x-api-key openai_api_key secretAccessKey aws_secret_access_key
private_key Authorization proxy-authorization credentials token access_token refreshToken
x-auth-token id_token Cookie connection_string signing-key bearer
""".split()
HARMLESS_KEYS = """
max_tokens total_tokens tokens password_hash secret_name eos_token pad_token next_page_token
key keys monkey tokenizer author content compass
""".split()


def spot(text: str) -> tuple[str, int]:
    """Mask the word hunter2: a text function without any library."""
    return text.replace("hunter2", "[word]"), text.count("hunter2")


def mask(value: object) -> Any:
    """Mask a document and leave the count away."""
    return mask_document(value, spot)[0]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_what_a_telling_key_holds_is_mask(key: str) -> None:
    """Whatever its style, a key that says secret hides texts and numbers under it."""
    assert mask({key: "a1b2c3d4e5"}) == {key: "[secret]"}
    assert mask({key: {"a": "x", "b": [1, 2.5, None, True, ""]}}) == {
        key: {"a": "[secret]", "b": [None, None, None, True, ""]}
    }


def test_a_secret_that_looks_like_a_mark_is_mask() -> None:
    """Brackets around a password don't pass it off as masked already."""
    for value in ("[hunter3]", "[email]x", "[secret] x"):
        assert mask({"password": value}) == {"password": "[secret]"}


@pytest.mark.parametrize("key", HARMLESS_KEYS)
def test_other_keys_hide_nothing(key: str) -> None:
    """Counts of tokens, hashes and tokenizers' settings are no secrets."""
    value = {key: "a1b2c3d4e5", "n": {key: 4096}}
    assert mask(value) == value


def test_a_token_that_can_be_none_is_shown() -> None:
    """Under ``token`` a word, a piece of a text and a number are no secret."""
    for value in (" the", "short", 42, "two words here", "<|endoftext|>"):
        assert not is_secret("token", value)
    assert is_secret("token", "a1b2c3d4e5")


def test_a_schema_of_a_secret_is_shown() -> None:
    """A tool's definition says what a password looks like; a default in it may be one."""
    schema = {"password": {"type": "string", "description": "The user's password"}}
    assert mask({"properties": schema}) == {"properties": schema}
    real = {"password": {"type": "string", "default": "swordfish"}}
    assert "swordfish" not in json.dumps(mask(real))


def test_json_inside_json_strings_is_masked_as_a_document() -> None:
    """A tool call's arguments are taken apart at any depth, and written anew compactly."""
    inner = json.dumps({"query": "SELECT 1", "password": "x", "deep": json.dumps(["hunter2"])})
    value = {"messages": [{"type": "tool_call", "arguments": inner}]}
    masked, count = mask_document(value, spot)
    assert count == 2
    arguments = masked["messages"][0]["arguments"]
    assert arguments == ('{"query":"SELECT 1","password":"[secret]","deep":"[\\"[word]\\"]"}')
    assert mask('"{\\"secret\\": \\"abc\\"}"') == '"{\\"secret\\":\\"[secret]\\"}"'


def test_a_json_string_without_secrets_stays_as_it_is_written() -> None:
    """Nothing is written anew without need: blanks, escapes and numbers keep their form."""
    text = '  {"a" : 1.10, "b": "\\u00e9", "c": 1e400}'
    assert mask([text]) == [text]


def test_a_value_shadowed_by_a_second_key_is_not_handed_out() -> None:
    """Of a key that comes twice a reader sees the last; the first one is not left in the text."""
    assert "swordfish" not in mask('{"password": "swordfish", "password": ""}')
    assert "swordfish" not in mask('[{"x": 1, "x": 2}, {"pwd": "swordfish", "pwd": null}]')


def test_keys_are_searched_and_no_member_is_lost() -> None:
    """A secret in a key is masked there; keys masked alike are numbered."""
    value = {"hunter2": 1, "hunter2 ": 2, "[word]": 3, "hunter2hunter2": 4}
    masked = mask(value)
    assert "hunter2" not in json.dumps(masked)
    assert list(masked.values()) == [1, 2, 3, 4]


def test_long_numbers_are_searched_with_their_key(every: Detectors) -> None:
    """A card written as a number is hidden, and a telephone whose key says what it is."""
    value = {"card": 4111111111111111, "phone": 12125550199, "id": 1234567890123, "n": [-5, 7]}
    masked = {"card": None, "phone": None, "id": 1234567890123, "n": [-5, 7]}
    assert mask_document(value, every.mask) == (masked, 2)


def test_a_number_is_searched_as_the_text_it_would_be(every: Detectors) -> None:
    """A card is found without a key, in a list, and where JSON gave it a fraction or a sign."""
    for card in (4111111111111111, -4111111111111111, 4111111111111111.0, Decimal("4.111e3")):
        expected = (card, 0) if card == 4111 else (None, 1)
        assert mask_document(card, every.mask) == expected
    assert mask_document(Decimal("4111111111111111.00"), every.mask) == (None, 1)
    assert mask_document([4111111111111111, 5], every.mask) == ([None, 5], 1)
    assert mask_document([float("inf"), 1e300], every.mask)[0] == [float("inf"), 1e300]


def test_short_numbers_are_searched_unless_told_otherwise() -> None:
    """A pattern of the policy's own may be after four digits."""

    def pin(text: str) -> tuple[str, int]:
        return text.replace("4711", "[pin]"), text.count("4711")

    assert mask_document({"a": 4711, "b": 0.4711, "c": 47}, pin)[0] == {
        "a": None, "b": None, "c": 47,
    }  # fmt: skip
    assert mask_document(4711, pin, long_numbers=True) == (4711, 0)


def test_a_number_of_any_size_is_searched_or_withheld() -> None:
    """What PostgreSQL can store is searched; what would fill the memory is withheld."""
    large = Decimal("1" + "0" * 131_000 + ".5")
    assert mask_document(large, spot) == (large, 0)
    with pytest.raises(MaskFailed):
        mask_document(Decimal("1e999999"), spot)


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(),
        st.sampled_from(["hunter2", "x hunter2", '{"a": ["hunter2"]}', '["', "[word]", "[secret]"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.text(max_size=3), st.sampled_from(["password", "token", "hunter2", "k"])),
            inner,
            max_size=4,
        ),
        inner.map(json.dumps),
    ),
    max_leaves=12,
)  # fmt: skip


def alike(value: Any, masked: Any) -> bool:
    """Tell whether a masked document has the shape of the original."""
    if isinstance(value, dict):
        members = zip(value.values(), masked.values(), strict=True)
        return isinstance(masked, dict) and all(alike(left, right) for left, right in members)
    if isinstance(value, list):
        return (
            isinstance(masked, list)
            and all(map(alike, value, masked))
            and len(value) == len(masked)
        )
    return masked is None or type(value) is type(masked)


@given(JSON)
def test_the_shape_is_always_kept_and_secrets_never(value: Any) -> None:
    """Lists and members stay, leaves keep their type or are null, the word is gone everywhere."""
    masked, count = mask_document(value, spot)
    assert alike(value, masked)
    assert "hunter2" not in json.dumps(masked)
    if count == 0:
        assert masked == value


@given(JSON)
def test_masking_a_masked_document_always_changes_nothing(value: Any) -> None:
    """What masks leave behind is no secret any more."""
    once, _ = mask_document(value, spot)
    assert mask_document(once, spot) == (once, 0)


@given(JSON)
def test_the_document_itself_is_never_changed(value: Any) -> None:
    """The caller's value is read, a new one is made."""
    before = json.dumps(value)
    mask(value)
    assert json.dumps(value) == before


@given(JSON)
def test_detectors_and_documents_agree_twice(every: Detectors, value: Any) -> None:
    """With real detectors too, a second masking finds nothing."""
    once, _ = mask_document(value, every.mask)
    assert mask_document(once, every.mask) == (once, 0)


def nested(value: Any, depth: int) -> Any:
    """Nest a value in lists."""
    for _ in range(depth):
        value = [value]
    return value


def test_nesting_without_end_fails_closed() -> None:
    """A document nested too deeply is withheld; up to the limit it is masked."""
    assert "hunter2" not in str(mask(nested("hunter2", MAX_DEPTH)))
    circle: list[Any] = []
    circle.append(circle)
    for value in (nested("hunter2", MAX_DEPTH + 1), {"password": nested("x", 500)}, circle):
        with pytest.raises(MaskFailed):
            mask(value)


def test_deep_json_in_a_text_is_still_searched_as_text() -> None:
    """A text is never withheld for what it would be as JSON, nor left unsearched."""
    for depth in (MAX_DEPTH - 1, MAX_DEPTH + 1, 900, 100_000):
        text = "[" * depth + '"hunter2"' + "]" * depth
        assert "hunter2" not in mask(text)
    assert mask("[" * 50_000 + "hunter2") == "[" * 50_000 + "[word]"


@pytest.mark.parametrize("value", [b"x", object(), {"a": {1, 2}}, [complex(1)], {1: "x"}])
def test_what_is_no_json_fails_closed(value: object) -> None:
    """A type that JSON has none of withholds the document."""
    with pytest.raises(MaskFailed):
        mask(value)


def test_the_error_tells_nothing() -> None:
    """When the text function fails, neither its message nor the value is in what is raised."""

    def broken(text: str) -> tuple[str, int]:
        raise RuntimeError(text)

    value = {"a": "hunter" + "2"}
    with pytest.raises(MaskFailed) as caught:
        mask_document(value, broken)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_tuples_and_decimals_are_taken_as_they_come() -> None:
    """Composite values and exact numbers may stand in a document."""
    assert mask(("hunter2", Decimal("1.10"), 1)) == ("[word]", Decimal("1.10"), 1)


def test_time_stays_linear_in_large_documents() -> None:
    """Twenty thousand members whose keys are masked alike take a moment, not hours."""
    value = {f"{number} hunter2": {"content": "x"} for number in range(20_000)}
    value |= {"hunter2" + " " * number: {"content": "x"} for number in range(500)}
    started = time.process_time()
    assert len(mask(value)) == len(value)
    assert mask({"a": json.dumps(value)})
    assert time.process_time() - started < 10


def test_another_rule_for_keys_can_be_given() -> None:
    """The caller may say which keys hide what is under them."""
    masked, count = mask_document({"a": "x", "password": "y"}, spot, lambda key, value: key == "a")
    assert masked == {"a": "[secret]", "password": "y"}
    assert count == 1


@pytest.mark.parametrize(
    "pair",
    [
        {"name": "DB_PASSWORD", "value": "ab"},
        {"key": "authorization", "value": {"scheme": "x", "rest": ["y"]}},
        {"Name": "client-secret", "Value": 12, "Encrypted": False},
        {"value": "ab", "name": "api_key"},
    ],
)
def test_a_value_beside_its_name_is_a_secret(pair: dict[str, Any]) -> None:
    """Headers and variables are listed as name and value: the value goes by its name."""
    key = "value" if "value" in pair else "Value"
    shown = mask([pair])[0]
    assert str(pair[key]) not in str(shown[key]) and shown[key] != pair[key]
    assert {**shown, key: 0} == {**pair, key: 0}
    harmless = {"name": "colour", "value": "ab"}
    assert mask(harmless) == harmless


@pytest.mark.parametrize(
    "key",
    ["Ｐａｓｓｗｏｒｄ", "contraseña", "contrase\u006e\u0303a", "db_Passwort", "senha", "пароль",
     "密码", "パスワード", "pass\u200bword", "ａｐｉ＿ｋｅｙ", "mot de passe", "비밀번호"],
)  # fmt: skip
def test_a_telling_key_tells_in_other_scripts(key: str) -> None:
    """Width, accents and some languages do not hide that a key names a secret."""
    assert list(mask({key: "ab"}).values()) == ["[secret]"]
    assert mask({"resenha": "ab", "compass": "ab", "цвет": "ab"}) == {
        "resenha": "ab", "compass": "ab", "цвет": "ab",
    }  # fmt: skip
