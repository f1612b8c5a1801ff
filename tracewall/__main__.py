"""Runs the command ``tracewall`` as ``python -m tracewall``."""

from tracewall.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
