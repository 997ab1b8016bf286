"""The program: its commands, and the one place where an error becomes an exit code."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from dispatchkit import __version__
from dispatchkit.cli.output import CliContext, warn
from dispatchkit.kernel.errors import DispatchError, IOFailed, NotPermitted

app = typer.Typer(
    name="dispatchkit",
    help="Batch analytics and routing for on-demand delivery: what happened, and what to do next.",
    epilog="Exit codes: 0 done, 2 usage, 3 something was refused, 65 bad data, 66 input missing, 69 no database, "
    "73 cannot create, 74 I/O, 75 try later, 76 schema, 77 permission, 78 configuration.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

GROUPS = tuple("demo db data sweep act show why outbox report streets routes flags audit".split())


def _version(requested: bool) -> None:
    if requested:
        print(f"dispatchkit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            envvar="DISPATCHKIT_CONFIG", help="TOML file with settings; repeatable, later wins."
        ),
    ] = None,
    db: Annotated[
        str,
        typer.Option(
            envvar="DISPATCHKIT_DATABASE_URL",
            help="postgresql://... or `embedded`.",
            show_envvar=True,
        ),
    ] = "embedded",
    data: Annotated[Path, typer.Option(envvar="DISPATCHKIT_DATA", help="Folder for data.")] = Path(
        "data"
    ),
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="No messages, only data and errors.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback when something fails.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Batch analytics and routing for on-demand delivery: what happened, and what to do next."""
    if _typed_password(ctx, db):
        warn(
            "a password in --db is visible to other users; put the URL into DISPATCHKIT_DATABASE_URL"
        )
    ctx.obj = CliContext(
        config=tuple(config or ()),
        db=db,
        data=data,
        json=json,
        quiet=quiet,
        debug=debug,
    )


def _typed_password(ctx: typer.Context, db: str) -> bool:
    source = ctx.get_parameter_source("db")
    return (
        source is not None
        and source.name == "COMMANDLINE"
        and re.match(r"^\w+://[^/@]*:[^/@]+@", db) is not None
    )


for _group in GROUPS:
    import_module(f"dispatchkit.cli.{_group}").register(app)


def run(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code; every error ends as one line on stderr."""
    signal.signal(signal.SIGTERM, _terminated)
    call = CliContext(debug="--debug" in (argv if argv is not None else sys.argv))
    try:
        call = _invoke(argv) or call
        sys.stdout.flush()
    except (SystemExit, typer.Exit) as stop:
        code = getattr(stop, "exit_code", getattr(stop, "code", 0))
        return code if isinstance(code, int) else 0
    except TyperException as fault:
        if type(fault).__name__ == "NoArgsIsHelpError":
            print(_help(fault), file=sys.stderr)
            return 2
        hint = getattr(fault, "ctx", None)
        tail = f" (try `{hint.command_path} --help`)" if hint is not None else ""
        return _fail("DK-USE", f"{_usage(fault)}{tail}", 2)
    except DispatchError as fault:
        return _fail(fault.code, str(fault), fault.exit_code, call.debug)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(
            "DK-STOP", "interrupted; what was finished stands, the rest was rolled back", 130
        )
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as fault:
        known = _os_error(fault)
        return _fail(known.code, str(known), known.exit_code, call.debug)
    except Exception as fault:
        text = f"this is a bug ({type(fault).__name__}); run again with --debug and report it"
        return _fail("DK-BUG", text, 1, call.debug)
    if call.refused:
        return _fail("DK-REFUSED", "; ".join(call.refused), 3)
    return 0


def _invoke(argv: list[str] | None) -> CliContext | None:
    command = typer.main.get_command(app)
    words = sys.argv[1:] if argv is None else argv
    with command.make_context("dispatchkit", _anywhere(words, command.params)) as ctx:
        command.invoke(ctx)
        return ctx.obj if isinstance(ctx.obj, CliContext) else None


def _anywhere(argv: Sequence[str], options: Sequence[Any]) -> list[str]:
    """Return a command line with the global options moved to its front."""
    known = {name: option for option in options for name in option.opts}
    front, rest, words = list[str](), list[str](), iter(argv)
    for word in words:
        name, has_value, _ = word.partition("=")
        if word == "--":
            rest += [word, *words]
        elif name not in known:
            rest.append(word)
        elif known[name].is_flag or has_value:
            front.append(word)
        elif (value := next(words, None)) is not None:
            front += [word, value]
        else:
            return [word]  # whose value is missing, and so it will say
    return front + rest


def _help(fault: TyperException) -> str:
    return str(getattr(fault, "format_message", lambda: fault)())


def _usage(fault: TyperException) -> str:
    message = getattr(fault, "format_message", None)
    return str(message() if message else fault).replace("\n", " ").strip() or "no command given"


def _os_error(fault: OSError) -> DispatchError:
    where = f"{fault.filename}: " if fault.filename else ""
    if fault.errno in (errno.EACCES, errno.EPERM, errno.ELOOP):
        return NotPermitted(f"{where}permission denied")
    message = os.strerror(fault.errno) if fault.errno else "I/O error"
    return IOFailed(f"{where}{message}; what is complete stands, nothing is half-written")


def _fail(code: str, text: str, exit_code: int, debug: bool = False) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    print(f"dispatchkit: {code}: {text}", file=sys.stderr)
    return exit_code


def _terminated(_signum: int, _frame: object) -> None:
    raise SystemExit(143)
