"""The words of generated traces: what agents are asked, think, call, hear and answer.

Each text is a template over the words that `generate` draws for a run (``%(order)s``)
and for each turn (``%(n)s``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: why it is called, with what, and what it may say back."""

    name: str
    thoughts: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...]
    results: tuple[tuple[tuple[str, str], ...], ...]
    failure: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of work: who does it, what it is asked and how it ends."""

    agent: str
    system: str
    prompts: tuple[str, ...]
    tools: tuple[Tool, ...]
    conclusions: tuple[str, ...]
    answers: tuple[str, ...]


OPENERS = (
    "",
    "First things first. ",
    "Let me think about this. ",
    "Before I answer I need the facts. ",
    "The request is clear enough. ",
    "This looks familiar. ",
    "I should not guess here. ",
    "One thing at a time. ",
)
CLOSERS = (
    "",
    " If that fails I will ask.",
    " That should settle it.",
    " I will compare the result with what %(person)s said.",
    " There are about %(n)s candidates, so a narrow query is better.",
    " It took %(n)s ms last time.",
    " The deadline is %(day)s, so there is time.",
    " I keep the answer short.",
)

WORDS: dict[str, tuple[str, ...]] = {
    "person": ("Priya", "Marek", "Sofia", "Kwame", "Yuki", "Lena", "Omar", "Ines", "Tomas", "Mei"),
    "product": ("standing desk", "espresso grinder", "trail jacket", "desk lamp", "bike rack"),
    "city": ("Lisbon", "Tallinn", "Osaka", "Nairobi", "Montreal", "Graz", "Porto", "Bergen"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
    "module": ("billing", "scheduler", "parser", "cache", "session", "exporter", "router"),
    "function": ("load", "merge", "flush", "retry", "normalize", "resolve", "encode"),
    "error": ("KeyError", "TimeoutError", "ValueError", "TypeError", "IndexError"),
    "metric": ("churn", "conversion", "refund rate", "latency p95", "active users", "basket size"),
    "table": ("events", "invoices", "sessions", "shipments", "signups"),
    "service": ("checkout", "search", "ingest", "notifier", "gateway", "ledger"),
    "region": ("eu-west", "us-east", "ap-south", "eu-north"),
}
"""Words that are drawn once for each run, by the name of their slot."""

SUPPORT = Scenario(
    "support-desk",
    "You help customers of a web shop. Look things up before you promise anything.",
    (
        "Where is my order %(order)s? It should have been here on %(day)s.",
        "The %(product)s from order %(order)s arrived broken. I want my money back.",
        "Please change the address of order %(order)s to %(city)s.",
        "I was charged twice for a %(product)s. Order %(order)s, total %(amount)s EUR.",
    ),
    (
        Tool(
            "lookup_order",
            (
                "I need the state of order %(order)s before I say anything about delivery.",
                "%(person)s mentions order %(order)s; the order service knows its history.",
                "The order number %(order)s has the right form, so I can look it up.",
            ),
            (("order_id", "%(order)s"), ("fields", "state,items,%(table)s")),
            (
                (("state", "shipped"), ("depot", "%(city)s"), ("parcels", "%(n)s")),
                (("state", "paid"), ("item", "%(product)s"), ("total", "%(amount)s")),
                (("state", "returned"), ("reason", "damaged"), ("refund", "%(amount)s")),
            ),
            "order service timed out after %(n)s ms",
        ),
        Tool(
            "search_help_center",
            (
                "The rules for a %(product)s may differ, so I check the help center.",
                "What we promise for returns on a %(day)s is written down somewhere.",
            ),
            (("query", "return %(product)s damaged"), ("limit", "%(n)s")),
            (
                (("title", "Returns within 30 days"), ("article", "%(n)s")),
                (("title", "Damaged on arrival"), ("article", "%(n)s"), ("lang", "en")),
            ),
            "help center index is being rebuilt",
        ),
        Tool(
            "issue_refund",
            (
                "The conditions hold, so %(amount)s EUR go back for order %(order)s.",
                "A refund of %(amount)s EUR is within my limit.",
            ),
            (("order_id", "%(order)s"), ("amount", "%(amount)s"), ("currency", "EUR")),
            ((("accepted", "yes"), ("days", "%(n)s")), (("accepted", "review"), ("by", "%(day)s"))),
            "refund limit reached",
        ),
    ),
    (
        "Everything about order %(order)s is known now, so I can answer %(person)s.",
        "The facts agree with what %(person)s wrote; no further look-up is needed.",
    ),
    (
        "Order %(order)s left our depot in %(city)s and arrives on %(day)s.",
        "We refund %(amount)s EUR for the %(product)s. It takes until %(day)s.",
        "I am sorry for the trouble, %(person)s. A new %(product)s is on its way to %(city)s.",
    ),
)

CODING = Scenario(
    "code-assistant",
    "You work in a repository. Reproduce first, change little, run the tests.",
    (
        "%(module)s.%(function)s raises %(error)s when the input is empty. Please fix it.",
        "Tests of %(module)s are flaky on %(day)ss. Find out why.",
        "Rename %(function)s in %(module)s and keep the old name for one release.",
    ),
    (
        Tool(
            "find_file",
            (
                "The trouble is said to be in %(module)s; I look for where it lives.",
                "There may be more than one %(module)s in this tree.",
            ),
            (("pattern", "**/%(module)s*.py"),),
            (
                (("matches", "%(n)s"), ("first", "src/%(module)s/%(function)s.py")),
                (("matches", "1"), ("first", "src/%(module)s.py")),
            ),
            "no such directory: src/%(module)s",
        ),
        Tool(
            "open",
            (
                "Line %(n)s of %(module)s is named in the traceback, so I read around it.",
                "Let me see how %(function)s treats an empty list.",
            ),
            (("path", "src/%(module)s.py"), ("line", "%(n)s")),
            (
                (("text", "def %(function)s(items):\n    return items[0]  # line %(n)s\n"),),
                (("text", "class %(error)s(Exception):\n\t'''raised by %(function)s'''\n"),),
            ),
            "src/%(module)s.py: permission denied",
        ),
        Tool(
            "run_tests",
            (
                "Now the tests of %(module)s, to see the %(error)s with my own eyes.",
                "A change without a test run is a guess, so I run the %(module)s suite.",
            ),
            (("command", "pytest -q tests/test_%(module)s.py -k %(function)s"),),
            (
                (("passed", "%(n)s"), ("failed", "0")),
                (("passed", "%(n)s"), ("failed", "1"), ("last", "E   %(error)s: '%(function)s'")),
            ),
            "collection failed: %(error)s",
        ),
    ),
    (
        "The %(error)s came from an unguarded index in %(function)s; the guard is in place.",
        "All tests of %(module)s pass, the change is %(n)s lines, so I am done.",
    ),
    (
        "%(module)s.%(function)s now returns early on empty input; a test holds it.",
        "Fixed the %(error)s in %(module)s. The suite passes.",
    ),
)

ANALYSIS = Scenario(
    "data-analyst",
    "You answer questions about business figures by querying the warehouse.",
    (
        "How did %(metric)s develop in %(city)s since %(day)s?",
        "Compare %(metric)s of %(region)s with last month, by week.",
        "Which %(product)s customers drive %(metric)s?",
    ),
    (
        Tool(
            "run_query",
            (
                "%(metric)s comes from the table %(table)s, grouped by region.",
                "I take %(table)s for %(region)s and leave out the test accounts.",
                "A sample of %(n)s rows is enough to see the shape of %(metric)s.",
            ),
            (
                ("sql", "SELECT day, sum(x) FROM %(table)s WHERE region = '%(region)s' GROUP BY 1"),
                ("max_rows", "%(n)s"),
            ),
            (
                (("rows", "%(n)s"), ("mean", "%(amount)s"), ("nulls", "0")),
                (("rows", "%(n)s"), ("peak", "%(day)s"), ("value", "%(amount)s")),
            ),
            'relation "%(table)s" is locked by a migration',
        ),
        Tool(
            "describe_table",
            (
                "I am not sure which column of %(table)s holds the time.",
                "Before the query I look at what %(table)s has to offer.",
            ),
            (("table", "%(table)s"),),
            ((("columns", "id, day, region, amount"), ("rows", "%(n)s000")),),
            "unknown table %(table)s",
        ),
    ),
    (
        "The figures for %(region)s are complete, so %(metric)s can be stated.",
        "The peak on %(day)s explains most of the change in %(metric)s.",
    ),
    (
        "%(metric)s in %(region)s is %(amount)s, highest on %(day)s.",
        "There is no clear change of %(metric)s in %(city)s; the rise is within noise.",
    ),
)

OPERATIONS = Scenario(
    "on-call",
    "You watch services. Explain what you see; restart only what you were asked to restart.",
    (
        "%(service)s in %(region)s answers slowly since %(day)s. What is going on?",
        "Alert: %(error)s rate of %(service)s above %(n)s per minute.",
        "Is it safe to drain %(region)s on %(day)s?",
    ),
    (
        Tool(
            "search_logs",
            (
                "The logs of %(service)s should show when the %(error)s began.",
                "I look for %(error)s in %(region)s and count by minute.",
            ),
            (("service", "%(service)s"), ("query", "level=error %(error)s"), ("minutes", "%(n)s")),
            (
                (("hits", "%(n)s"), ("sample", "%(error)s in %(module)s.%(function)s")),
                (("hits", "0"), ("scanned", "%(n)s000")),
            ),
            "log store for %(region)s is out of reach",
        ),
        Tool(
            "read_metric",
            (
                "Latency of %(service)s tells whether users feel it.",
                "I compare %(metric)s before and after the deploy on %(day)s.",
            ),
            (("name", "%(service)s.latency"), ("region", "%(region)s"), ("window", "%(n)sm")),
            ((("p50", "%(n)s"), ("p99", "%(amount)s")), (("p50", "%(n)s"), ("trend", "rising"))),
            "no samples in the window",
        ),
        Tool(
            "restart",
            (
                "One replica of %(service)s is stuck; restarting it is what the runbook says.",
                "I was asked to restart %(service)s in %(region)s, and nothing speaks against it.",
            ),
            (("service", "%(service)s"), ("region", "%(region)s"), ("replicas", "1")),
            ((("restarted", "1"), ("seconds", "%(n)s")),),
            "restart refused: %(service)s is frozen until %(day)s",
        ),
    ),
    (
        "The %(error)s stopped, and %(service)s is back to %(n)s ms.",
        "%(service)s waits for %(module)s; the cause is upstream.",
    ),
    (
        "%(service)s in %(region)s recovered. Cause: %(error)s in %(module)s since %(day)s.",
        "It is not safe to drain %(region)s on %(day)s: %(service)s has no spare replica.",
    ),
)

SCENARIOS = (SUPPORT, CODING, ANALYSIS, OPERATIONS)
