"""examples/django_users.py, run as a reader would run it, and with Django's other options."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("django")
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "django_users.py"
SHOWN = """\
migrated
ada [redacted] UTC
bob [redacted] UTC
['ada', 'bob']
1 group
Forbidden - public.auth_user.email is protected: it may be compared for equality only \
(rule masks.addresses)
HINT:  compare it with parameters by = or IN, or join it to a column under the same mask
1 group
"""
VARIED = """
import sys
sys.path.insert(0, {folder!r})
import django_users
from datetime import timedelta

class Settings:
    def configure(self, **told):
        default = told["DATABASES"]["default"]["OPTIONS"]
        default |= {options!r}
        made["wall"] = default["wall"]
        django_settings.configure(**told)

class TokenIssuer(django_users.TokenIssuer):
    def __init__(self, *given):
        super().__init__(*given)
        made["issuer"] = self

def work():
    from django.contrib.auth.models import User
    from django.utils import timezone
    once()
    token = made["issuer"].mint("tom", ["staff"], audience="users")
    with made["wall"].acting_as(token):
        for user in User.objects.all():
            assert abs(timezone.now() - user.date_joined) < timedelta(minutes=20)

made = {{}}
django_settings, django_users.settings = django_users.settings, Settings()
django_users.TokenIssuer = TokenIssuer
once, django_users.work = django_users.work, work
django_users.GRANTS += "alter role service set timezone = 'Asia/Tokyo';"
django_users.main()
"""


def shown_by(tmp_path: Path, *arguments: str) -> str:
    """Run Python in an empty directory, and give what it prints."""
    place = str(Path(str(files("tracewall"))).parent)
    environment = os.environ | {"PYTHONPATH": place, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_django_works_behind_the_wall(tmp_path: Path) -> None:
    """Migrations, models, transactions and iterators work; masks and refusals hold."""
    assert shown_by(tmp_path, str(EXAMPLE)) == SHOWN
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options", [{}, {"server_side_binding": True, "pool": {"min_size": 1}}], ids=["one", "pooled"]
)
def test_django_works_for_one_after_another(tmp_path: Path, options: dict[str, object]) -> None:
    """Times stay right when the principal changes; bound by the server and pooled too."""
    program = VARIED.format(folder=str(EXAMPLE.parent), options=options)
    assert shown_by(tmp_path, "-c", program) == SHOWN
