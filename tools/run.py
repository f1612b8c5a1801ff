"""Runs the demo, the tests or the checks in an environment that it makes by itself.

    python3 tools/run.py demo [arguments of `tracewall demo`]
    python3 tools/run.py test [arguments of pytest]
    python3 tools/run.py check

Needs Python 3.11 or newer and pip's package index, nothing else. The environment is the
folder .venv beside the project's files, or the one that TRACEWALL_VENV names. What runs
in it is the built wheel, not the source tree; it is built and installed again when one
of its files has changed.
"""

# Nothing here may need a newer Python than 3.7, so that an old one can say what is wrong.
from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
STATE = "tracewall-run.json"
EXTRAS = {"demo": "demo", "test": "test", "check": "dev"}
# An extra brings those behind it with it.
INCLUDED = {"demo": ["demo"], "test": ["demo", "test"], "dev": ["demo", "dev", "test"]}
CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy"],
    "mypy, a program written for psycopg": ["mypy", "tests/typing/program.py"],
    "import contracts": ["lint-imports", "--no-cache", "--no-logo"],
    "twins": ["python", "tools/unasync.py", "--check"],
    "documentation": [
        *("python", "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"),
        *("-c", "docs", ".", "build/site"),
    ],
    "policy schema": ["python", "-m", "tracewall.policy.schema", "--check"],
}
# They would put other modules before those of the environment.
UNWANTED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "__PYVENV_LAUNCHER__")


class Failed(Exception):
    """Why a command cannot run."""


def main(arguments: list[str]) -> int:
    """Run the command that `arguments` begin with and return its exit code."""
    if sys.version_info < OLDEST:
        say("Python 3.11 or newer is needed; this is {}.{}.".format(*sys.version_info))
        return 2
    if not arguments or arguments[0] not in EXTRAS:
        asked = bool(arguments) and arguments[0] in ("-h", "--help")
        print(__doc__, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    command, rest = arguments[0], arguments[1:]
    try:
        folder = prepare(EXTRAS[command])
    except Failed as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    if command == "check":
        return check(folder)
    if command == "demo":
        return run([program(folder, "tracewall"), "demo", *rest], installed(folder))
    return run([program(folder, "python"), "-m", "pytest", *rest], installed(folder))


def prepare(extra: str) -> Path:
    """Bring the environment up to date for `extra` and return its folder.

    Raises:
        Failed: the folder is somebody else's, or something could not be made or installed.
    """
    folder = Path(os.environ.get("TRACEWALL_VENV") or ROOT / ".venv").absolute()
    key = [sys.version, sys.base_prefix, str(folder), requirements()]
    state = recall(folder)
    if state.get("key") != key:
        make(folder)
        state = {"key": key, "extras": [], "wheel": ""}
    packed = digest()
    new = extra not in state["extras"]
    if new or state["wheel"] != packed:
        # Forgotten first, so that an interrupted installation is begun again.
        remember(folder, {**state, "wheel": ""})
        install(folder, extra, with_dependencies=new)
        extras = sorted({*state["extras"], *INCLUDED[extra]})
        remember(folder, {"key": key, "extras": extras, "wheel": packed})
    return folder


def requirements() -> str:
    """A hash of what pyproject.toml says about building and dependencies."""
    import tomllib

    tables = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    told = json.dumps([tables["build-system"], tables["project"]], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def digest() -> str:
    """A hash of the names and contents of the files that the wheel is made of."""
    inside = [path for path in (ROOT / "tracewall").rglob("*") if path.is_file()]
    files = sorted(path for path in inside if "__pycache__" not in path.parts)
    total = hashlib.sha256()
    for path in [*files, ROOT / "pyproject.toml", ROOT / "README.md", ROOT / "LICENSE"]:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(ROOT).as_posix()} {content}\n".encode())
    return total.hexdigest()


def recall(folder: Path) -> dict[str, Any]:
    """What was installed in `folder`, empty when it has to be made.

    Raises:
        Failed: it exists and was not made here.
    """
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text("utf-8"))
        return state
    except FileNotFoundError:
        if folder.exists() and any(folder.iterdir()):
            raise Failed(
                f"{folder} was not made by this script, so it is left alone. Move it away, "
                "or name another folder in the environment variable TRACEWALL_VENV."
            ) from None
    except ValueError:
        # What was cut off by an interrupt is made anew.
        pass
    return {}


def remember(folder: Path, state: dict[str, Any]) -> None:
    """Write down what is installed in `folder`."""
    (folder / STATE).write_text(json.dumps(state, indent=1), "utf-8")


def make(folder: Path) -> None:
    """Make a new, empty environment in the place of what is there."""
    say("making {} for Python {}.{}".format(folder, *sys.version_info[:2]))
    folder.mkdir(parents=True, exist_ok=True)
    remember(folder, {})
    for old in folder.iterdir():
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        elif old.name != STATE:
            old.unlink()
    must(
        [sys.executable, "-I", "-m", "venv", str(folder)],
        "the environment could not be made. On Debian and Ubuntu: `apt install python3-venv`.",
    )


def install(folder: Path, extra: str, with_dependencies: bool) -> None:
    """Build the wheel and install it, with the dependencies of `extra` where asked."""
    pip = [program(folder, "python"), "-I", "-m", "pip", "-qq", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory(prefix="tracewall-") as built:
        say("building the wheel")
        must([*pip, "wheel", "--no-deps", "--wheel-dir", built, str(ROOT)], "the build failed.")
        (wheel,) = Path(built).glob("*.whl")
        if with_dependencies:
            say(f"installing what `{extra}` needs (once; a minute or two)")
            must([*pip, "install", f"{wheel}[{extra}]"], "the installation failed.")
        again = [*pip, "install", "--no-deps", "--force-reinstall", str(wheel)]
        must(again, "the installation failed.")


def check(folder: Path) -> int:
    """Run every check on the source tree; return 1 when one failed, else 0."""
    failed = []
    for title, (name, *rest) in CHECKS.items():
        say(f"== {title}")
        if run([program(folder, name), *rest], inside(folder)):
            failed.append(title)
    say(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def inside(folder: Path) -> dict[str, str]:
    """The process environment with the programs of `folder` first."""
    kept = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    path = os.pathsep.join([str(Path(program(folder, "")).parent), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "VIRTUAL_ENV": str(folder)}


def installed(folder: Path) -> dict[str, str]:
    """The same, such that `import tracewall` finds the installed wheel from any directory."""
    return {**inside(folder), "PYTHONSAFEPATH": "1", "TRACEWALL_EXPECT_INSTALLED": "1"}


def run(line: list[str], environment: dict[str, str]) -> int:
    """Run a command in the project's folder and return its exit code, as a shell gives it."""
    sys.stdout.flush()
    with subprocess.Popen(line, cwd=ROOT, env=environment) as child:
        while True:
            try:
                code = child.wait()
            except KeyboardInterrupt:
                # The child got it too and may need time to stop what it has started.
                continue
            return code if code >= 0 else 128 - code


def must(line: list[str], complaint: str) -> None:
    """Run a command and raise `Failed` unless it succeeds."""
    kept = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    if subprocess.run(line, env=kept, check=False).returncode:
        raise Failed(complaint)


def program(folder: Path, name: str) -> str:
    """The path of a program of an environment."""
    if os.name == "nt":
        return str(folder / "Scripts" / f"{name}.exe")
    return str(folder / "bin" / name)


def say(words: str) -> None:
    """Tell the person at the terminal what goes on."""
    print(f"tracewall: {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
