import json
import os
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from tracewall import PolicyError, Wall
from tracewall.policy.exposed import exposed
from tracewall.policy.format import POLICY
from tracewall.policy.load import load, loads
from tracewall.policy.sections import Section

SHIPPED = resources.files("tracewall.demo").joinpath("policy.toml").read_text("utf-8")


@pytest.fixture
def policy(tmp_path):
    """A copy of the demo's policy, and how to change it."""
    path = tmp_path / "policy.toml"

    def written(before="", after=""):
        assert before in SHIPPED
        path.write_text(SHIPPED.replace(before, after, 1), "utf-8")
        return path

    return written


def test_a_good_policy_is_told_to_be_good(run, policy):
    """Exit code 0, and how many rules there are."""
    result = run("check", policy())
    assert (result.exit_code, result.stderr) == (0, "")
    assert "3 grants, 1 denial, 3 masks, 1 scan" in result.stdout


def test_a_program_is_told_the_hash(run, policy):
    """With --json the policy's hash is there, the one that decisions carry."""
    path = policy()
    told = json.loads(run("check", path, "--json").stdout)
    assert told["ok"] is True
    assert (told["hash"], told["live"]) == (load(path).hash, False)


def test_a_fault_is_told_with_its_place_and_a_suggestion(run, policy):
    """path:line:column, what is wrong, what was meant; exit code 1."""
    path = policy("[[scans]]", "[[scan]]")
    line = path.read_text("utf-8").splitlines().index("[[scan]]") + 1
    result = run("check", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{path}:{line}:3: " in result.stderr.replace("\n", "")
    assert "did you mean 'scans'?" in result.stderr


def test_a_program_is_told_the_fault_in_parts(run, policy):
    """With --json the fault is one object on standard output; exit code 1."""
    path = policy('method = "email"', 'method = "mail"')
    result = run("check", path, "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["ok"] is False
    assert told["path"] == str(path)
    assert SHIPPED.splitlines()[told["line"] - 1] == 'method = "email"'
    assert told["column"] == len("method = ") + 1
    assert "email" in told["help"]


def test_a_policy_that_is_not_there_is_a_fault(run, tmp_path):
    """A missing file is told in a sentence; it is no finding, so the exit code is 2."""
    result = run("check", tmp_path / "nothing.toml")
    assert result.exit_code == 2
    assert "there is no policy" in result.stderr and "tracewall init" in result.stderr


def test_a_missing_policy_that_the_environment_names_is_told_so(run, tmp_path, monkeypatch):
    """Who has forgotten the variable is told of it."""
    monkeypatch.setenv("TRACEWALL_CONFIG", str(tmp_path / "nothing.toml"))
    result = run("check")
    assert (result.exit_code, "TRACEWALL_CONFIG names it" in result.stderr) == (2, True)


def test_a_pattern_that_can_not_be_used_is_found(run, policy):
    """What only the detectors' engine can tell of a pattern is told without a database."""
    scan = 'name = "free-text"'
    path = policy(scan, f"{scan}\npatterns = [{{ name = 'x', regex = '(' }}]")
    assert run("check", path).exit_code == 1


def test_a_path_with_escape_sequences_is_shown_harmless(run, tmp_path):
    """A file's name can't steer the terminal either."""
    path = tmp_path / "\x1b[2Jpolicy.toml"
    path.write_text(SHIPPED)
    for result in (run("check", path), run("check", f"{path}x")):
        assert "\x1b" not in result.output


def test_a_policy_fits_the_database_it_is_for(run, policy, store):
    """Against the trace store every pattern of the shipped policy matches something."""
    result = run("check", policy(), "--dsn", store.full_dsn)
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("before", "after", "suggested"),
    [
        ("traces.runs.api_key", "traces.runs.apikey", "traces.runs.api_key"),
        ('"traces.tool_calls"', '"traces.toolcalls"', "traces.tool_calls"),
        ('"ended_at"', '"finished_at"', ""),
    ],
)
def test_a_name_the_database_lacks_is_found(run, policy, store, before, after, suggested):
    """A pattern that matches nothing there: its place, the nearest name, exit code 1."""
    path = policy(before, after)
    assert run("check", path).exit_code == 0
    result = run("check", path, "--dsn", store.full_dsn)
    assert result.exit_code == 1
    assert f"{path}:" in result.stdout.replace("\n", "")
    assert suggested in result.stdout


def test_a_database_that_does_not_answer_is_no_verdict(run, policy):
    """Who can't be asked can't have answered: exit code 3; which is not said: 2; no traceback."""
    result = run("check", policy(), "--dsn", "host=/nowhere dbname=x connect_timeout=1")
    assert result.exit_code == 3
    assert "can't be asked" in result.stderr
    assert run("check", policy(), "--dsn", "not a dsn").exit_code == 2


def test_a_password_that_is_refused_is_not_shown(run, policy, store):
    """The password in --dsn appears nowhere in what is printed."""
    if "host" not in store.dsn or os.name != "posix":
        pytest.skip("how this server checks passwords is not ours to say")
    result = run("check", policy(), "--dsn", f"{store.dsn} password=CANARY-pw")
    assert "CANARY" not in result.output


def test_checking_leaves_nothing_behind(run, policy, store, tmp_path):
    """A check makes no audit log and needs no password of the policy."""
    run("check", policy(), "--dsn", store.full_dsn)
    assert {path.name for path in Path(tmp_path).iterdir()} == {"policy.toml"}


ISSUERS = """
version = 1
[[issuers]]
name = "staff"
issuer = "https://staff.test"
audience = "a"
groups_prefix = "staff:"
max_lifetime = 0
[[issuers]]
name = "partners"
issuer = "https://partners.test"
audience = "a"
token_type = ["at+jwt", ""]
[[issuers]]
name = "machines"
issuer = "https://machines.test"
audience = "a"
groups_prefix = "machines:"
"""


def test_issuers_that_can_name_anothers_groups_are_told(run, tmp_path):
    """A prefix keeps groups apart only where no other issuer can begin with it."""
    path = tmp_path / "p.toml"
    path.write_text(ISSUERS, "utf-8")
    told = [line for line in run("check", path).stdout.splitlines() if line.startswith("weak ")]
    can, see = "issuers.partners can name groups that are those of the issuer", "see groups_prefix"
    assert told == [
        "weak line 3: issuers.staff accepts tokens of any lifetime",
        "weak line 9: issuers.partners accepts tokens of any type, ID tokens too",
        f"weak line 9: {can} 'staff': {see}",
        f"weak line 9: {can} 'machines': {see}",
    ]
    path.write_text(ISSUERS.replace("[[issuers]]\nname = \"partners", "[[issuers]]\ngroups_prefix"
                    ' = "partners:"\nname = "partners'))  # fmt: skip
    assert "can name groups" not in run("check", path).stdout


def test_what_weakens_the_guard_is_told(run, tmp_path):
    """Lifts, free predicates, slices, unfollowed actions and vouched functions are listed."""
    path = tmp_path / "p.toml"
    path.write_text(
        """
version = 1
[[grants]]
name = "look"
groups = ["a"]
actions = ["select", "ddl", "anything"]
tables = ["s.*"]
lifts = ["keys", "texts"]
[[masks]]
name = "keys"
columns = ["s.t.k"]
method = "redact"
predicates = "any"
[[scans]]
name = "texts"
columns = ["s.t.x"]
slices = "allow"
[[functions]]
name = "own"
functions = ["s.f"]
""",
        "utf-8",
    )
    result = run("check", path)
    told = [line for line in result.stdout.splitlines() if line.startswith("weak ")]
    assert result.exit_code == 0
    assert told == [
        "weak line 3: grants.look lifts keys, texts",
        "weak line 3: grants.look lets statements through that can't be followed: ddl, anything",
        "weak line 9: masks.keys the masked values can be found out by comparing them",
        "weak line 14: scans.texts pieces of text are shown, in which a detector may not know"
        " half a secret",
        "weak line 18: functions.own vouches for functions nobody looks into",
    ]
    found = json.loads(run("check", path, "--json").stdout)["weaknesses"]
    assert [(each["rule"], each["line"]) for each in found][::4] == [
        ("grants.look", 3),
        ("functions.own", 18),
    ]
    path.write_text("version = 1", "utf-8")
    assert json.loads(run("check", path, "--json").stdout)["weaknesses"] == []


ASKING = """
version = 1
[approval]
keys = ["desk+ec0f0704+Af7BQoZz9q/okmSzgHNErosmnRJaUDhVICaH21pxKFef"]
[[grants]]
name = "all"
groups = ["staff", "x*"]
actions = ["select", "update"]
tables = ["s.*"]
"""


@pytest.mark.parametrize(
    ("rule", "how"),
    [
        ('rows = 9\napprovers = ["a"]', "asks for no slices of fewer rows"),
        ('tables = ["s.t"]\napprovers = ["*"]', "lets anybody who has a token decide"),
        ('tables = ["s.t"]\napprovers = ["a"]\nmode = "shape"', "lets changes be repeated"),
        ('tables = ["s.t"]\napprovers = ["staff"]\ngroups = ["staff"]', "decide for each other"),
        ('tables = ["s.t"]\napprovers = ["a"]\nbreak_glass = ["a", "b"]', "own group reviews"),
        ('tables = ["s.t"]\napprovers = ["a"]\ngroups = ["guests"]', "asks for nothing"),
        ('actions = ["delete"]\napprovers = ["a"]', "asks for nothing"),
        ('tables = ["s.t"]\napprovers = ["a"]\ngroups = ["guest*"]', "asks for nothing"),
        ('tables = ["s.t"]\napprovers = ["a"]\ngroups = ["xy"]', ""),
        ('tables = ["s.t"]\napprovers = ["a"]\nbreak_glass = ["b"]\ngroups = ["sta*"]', ""),
        ('actions = ["select"]\napprovers = ["a"]\nmode = "shape"', ""),
        ('rows = 9\nper = "1h"\napprovers = ["a"]', ""),
        (
            'rows = 9\napprovers = ["a"]\ngroups = ["staff"]\n'
            '[[approvals]]\nruns = 9\nper = "1h"\napprovers = ["a"]',
            "",
        ),
    ],
)
def test_rules_that_ask_weakly_are_told(run, tmp_path, rule, how):
    """Rules that ask nobody, or whom those who ask get by, are listed; others are not."""
    path = tmp_path / "p.toml"
    path.write_text(f'{ASKING}[[approvals]]\nname = "rule"\n{rule}\n', "utf-8")
    told = [line for line in run("check", path).stdout.splitlines() if line.startswith("weak ")]
    assert len(told) == bool(how)
    assert not how or (how in told[0] and "line 10: approvals.rule" in told[0])


def test_a_console_for_everybody_is_told(run, tmp_path):
    """Who shows sessions or the record to any group, and the console's key to all, is told so."""
    path = tmp_path / "p.toml"
    path.write_text(
        'version = 1\n[console]\nviewers = ["*"]\nauditors = ["a", "*"]\nkey_file = "key"\n'
        '[[issuers]]\nname = "i"\nissuer = "https://i.test"\naudience = "a"\n'
        '[[console.logins]]\nissuer = "i"\nclient_id = "c"\nclient_secret_file = "secret"\n'
    )
    for name in ("key", "secret"):
        (tmp_path / name).touch(mode=0o644)
    path.chmod(0o600)
    told = [line for line in run("check", path).stdout.splitlines() if line.startswith("weak ")]
    assert told == [
        "weak line 0: console shows the sessions to anybody who has a token",
        "weak line 0: console shows the record to anybody who has a token",
        "weak line 0: files everybody may read the key that signs decisions: key",
        "weak line 10: files everybody may read the client's secret: secret",
    ]


def test_files_that_everybody_may_change_or_read_are_told(run, tmp_path):
    """Who can write a policy or its keys, or read its secrets, needs no hole in the guard."""
    path = tmp_path / "p.toml"
    path.write_text(
        'version = 1\n[database]\npassword_file = "password"\n[[keys]]\nid = "k"\nfile = "k"\n'
        '[[issuers]]\nissuer = "https://i.test"\naudience = "a"\nkeys = "jwks.json"\n',
        "utf-8",
    )
    for name in ("password", "k", "jwks.json"):
        (tmp_path / name).touch(mode=0o600)
    tmp_path.chmod(0o700)
    path.chmod(0o644)
    assert "weak " not in run("check", path).stdout
    (tmp_path / "password").chmod(0o644)
    (tmp_path / "jwks.json").chmod(0o646)
    told = [line for line in run("check", path).stdout.splitlines() if line.startswith("weak ")]
    assert told == [
        "weak line 0: files everybody may read the password: password",
        "weak line 7: files everybody may change the keys: jwks.json",
    ]
    tmp_path.chmod(0o777)
    found = json.loads(run("check", path, "--json").stdout)["weaknesses"]
    assert len(found) == 5
    tmp_path.chmod(0o1777)
    assert len(json.loads(run("check", path, "--json").stdout)["weaknesses"]) == 2


@pytest.mark.parametrize(
    ("section", "key"),
    [
        (section, key)
        for section, written in POLICY.keys.items()
        if isinstance(written.kind, Section)
        for key in written.kind.keys
        if key.endswith("_file") and key != "anchor_file"
    ],
)
def test_each_file_of_a_secret_that_everybody_may_read_is_told(tmp_path, section, key):
    """Whichever section names it; what is appended to an anchor's file is no secret."""
    secret, path = tmp_path / "secret", tmp_path / "policy.toml"
    policy = loads("version = 1", str(path))
    named = replace(getattr(policy, section), **{key: "secret"})
    secret.touch(mode=0o604)
    (found,) = exposed(replace(policy, **{section: named}))
    assert found.how.startswith("everybody may read ") and found.how.endswith(": secret")
    secret.chmod(0o600)
    assert not exposed(replace(policy, **{section: named}))


@pytest.mark.parametrize(
    ("issuer", "more"),
    [
        ("https://x.test", 'provider = "entra"'),
        ("https://x.test", 'provider = "spiffe"'),
        ("https://x.test", 'provider = "kubernetes"\ntokens = "id"'),
        ("https://x.test", 'provider = "google"\ntokens = "access"'),
    ],
)
def test_issuers_that_a_wall_would_not_take_are_found(run, tmp_path, issuer, more):
    """What keeps a wall from being loaded is an error here too, at the issuer's line."""
    path = tmp_path / "policy.toml"
    head = f'version = 1\n\n[[issuers]]\nissuer = "{issuer}"\naudience = "a"\n'
    path.write_text(f'{head}keys = "jwks.json"\n{more}\n', "utf-8")
    with pytest.raises(PolicyError) as refused:
        Wall.load(path)
    result = run("check", path)
    assert result.exit_code == 1
    assert f"policy.toml:3: {refused.value.message}" in result.stderr


def test_an_answer_that_lasts_no_time_is_found(run, tmp_path):
    """Every token would be refused by it."""
    path = tmp_path / "policy.toml"
    path.write_text(
        'version = 1\n[[issuers]]\nissuer = "https://x.test"\naudience = "a"\n'
        '[issuers.introspection]\nurl = "https://x.test/i"\nclient_id = "c"\n'
        'secret_env = "NOT_READ"\nlasts = 0\n',
        "utf-8",
    )
    result = run("check", path)
    assert result.exit_code == 1
    assert "policy.toml:9:9: " in result.stderr and "lasts" in result.stderr


def test_no_key_and_no_secret_is_read_for_a_check(run, tmp_path):
    """A policy is right or wrong in itself: where keys, secrets and lists are is the doctor's."""
    path = tmp_path / "policy.toml"
    path.write_text(
        'version = 1\n[identity]\nrevocations = "gone.toml"\n'
        '[[issuers]]\nissuer = "https://x.test"\naudience = "a"\nkeys = "gone.json"\n'
        '[issuers.introspection]\nurl = "https://x.test/i"\nclient_id = "c"\n'
        'secret_env = "NO_SUCH_VARIABLE"\n'
        '[[issuers]]\nname = "b"\nissuer = "https://127.0.0.1:1"\naudience = "a"\n',
        "utf-8",
    )
    assert run("check", path).exit_code == 0
