"""Libraries that only an extra brings: where one is missing, a sentence says how to get it."""

from __future__ import annotations


def explained(missing: ModuleNotFoundError, who: str, pip: str) -> ModuleNotFoundError:
    """Give an import's error in words that help, for whoever imports without the extra.

    Args:
        missing: what the import raised; of a module of tracewall's own it is given as it is.
        who: what needs the library.
        pip: what brings it, as pip takes it.
    """
    name = (missing.name or "").partition(".")[0]
    if name in ("", "tracewall"):
        return missing
    told = f'{who} needs {name}, which is not installed: pip install "{pip}"'
    return ModuleNotFoundError(told, name=missing.name, path=missing.path)
