"""Does lookups as it is told by lines of JSON, ``[name, times]``: what callgrind looks at."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import psycopg
from point_lookup import LOOKUP, MASKED_LOOKUP, lookups

import tracewall


def main(told: dict[str, object]) -> None:
    """Connect as told, then work until the lines end."""
    sides = told["sides"]
    assert isinstance(sides, dict)
    conns = {}
    for name, policy in sides.items():
        if policy:
            wall = tracewall.Wall.load(policy)
            conns[name] = tracewall.connect(wall=wall, token=told["token"], autocommit=True)
        else:
            conns[name] = psycopg.connect(str(told["conninfo"]), autocommit=True)
    print("ready", flush=True)
    for line in sys.stdin:
        name, times = json.loads(line)
        lookups(conns[name], times, MASKED_LOOKUP if "masked" in name else LOOKUP)()
        print("done", flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
