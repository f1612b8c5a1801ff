import os
import re
from pathlib import Path

import pytest

from tracewall.demo.stage import staged

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Unix sockets are the way in")
ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Give the README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def test_the_example_does_what_it_says(monkeypatch, capsys):
    """The README's program runs as written: keys and addresses masked, the last query refused."""
    (example,) = blocks("python")
    with staged(runs=5) as stage:
        monkeypatch.chdir(stage.home)
        names = {"token": stage.token("ana", "analysts")}
        exec(compile(example, "README.md", "exec"), names)
        names["wall"].close()
    *rows, refused, hint = capsys.readouterr().out.splitlines()
    assert len(rows) == 3
    assert all(re.fullmatch(r"\w+ \w\*\*\*@\S+ \[masked\]\S{4}", row) for row in rows)
    assert "rule masks.api-keys" in refused
    assert hint.startswith("HINT:")


def test_every_link_leads_somewhere():
    """Each file that the README links to is there."""
    targets = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert missing == []


def test_the_policy_shown_is_the_shipped_one():
    """The rules that the README quotes stand in the demo's policy, line by line."""
    (quoted,) = blocks("toml")
    shipped = (ROOT / "tracewall" / "demo" / "policy.toml").read_text("utf-8").splitlines()
    assert [line for line in quoted.splitlines() if line and line not in shipped] == []
