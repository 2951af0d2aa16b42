"""The program ``scaling``: commands, exit codes, and errors turned into messages."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from scaling.cli import settings, terminal
from scaling.cli.usage import Commands, refusal

INTERRUPTED = 130
F = TypeVar("F", bound=Callable[..., Any])


class Program(typer.Typer):
    """Commands that take defaults from files and the environment, and say so."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[F], F]:
        """Register a command; see `typer.Typer.command`."""
        return super().command(name, **{"cls": settings.Command, **options})


app = Program(
    name="scaling",
    cls=Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
sweep_app = Program(cls=Commands, no_args_is_help=True, help="Plan, train and watch a sweep.")
laws_app = Program(cls=Commands, no_args_is_help=True, help="The laws that can be fitted.")
data_app = Program(
    cls=Commands, no_args_is_help=True, help="Public runs, fetched from their origin."
)
app.add_typer(sweep_app, name="sweep")
app.add_typer(laws_app, name="laws")
app.add_typer(data_app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        from scaling.runs.provenance import package_version

        typer.echo(f"scaling {package_version()}")
        raise typer.Exit


def _citation(wanted: bool) -> None:
    if wanted:
        from scaling.cli.citation import citation

        typer.echo(citation())
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    cite: Annotated[
        bool,
        typer.Option("--citation", callback=_citation, is_eager=True, help="Print what to cite."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the traceback of an internal error.")
    ] = False,
) -> None:
    """Scaling-law studies: plan, train, fit, report.

    scaling init                                   a study to begin with

    scaling study study.toml -o out                the whole chain

    scaling fit results.csv                        a law on anybody's runs

    scaling predict fit.json --flops 1e21          what to train, at what loss

    scaling report results.csv -o report.html      and a report on it
    """
    del version, cite
    settings.take(ctx)
    if verbose:
        os.environ["SCALING_VERBOSE"] = "1"


for _module in (
    "init",
    "study",
    "plan",
    "sweep",
    "classes",
    "following",
    "import_",
    "check",
    "fit",
    "predict",
    "compare",
    "report",
    "plot",
    "laws",
    "data",
    "bench",
    "doctor",
    "config",
    "explain",
):
    importlib.import_module(f"scaling.cli.{_module}")


def main() -> None:
    """Run the program; library errors become one message and their exit code."""
    from scaling.cli.common import follow_up
    from scaling.errors import Fault, ScalingError, clip

    terminal.prepare()
    terminal.quieten()
    try:
        code = _run()
        terminal.finish()
        if code == INTERRUPTED:  # the parser's own word for it
            raise KeyboardInterrupt
        sys.exit(code)
    except ScalingError as error:
        typer.echo(error.render(), err=True)
        follow_up(f"scaling explain {error.code}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        continues = sys.argv[1:2] in (["study"], ["sweep"])
        typer.echo("interrupted" + "; the same command continues" * continues, err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        terminal.let_go()
        sys.exit(0)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # the parser's own answer to it
            terminal.let_go()
            sys.exit(0)
        raise
    except Exception as error:  # noqa: BLE001 - the last resort; it becomes exit code 3
        if getattr(error, "errno", None) in terminal.FULL:
            terminal.let_go()
            full = Fault("SC003", "output", str(getattr(error, "strerror", "")), "",
                         "free space, or write elsewhere")  # fmt: skip
            typer.echo(full.render(), err=True)
            sys.exit(2)
        if os.environ.get("SCALING_VERBOSE"):
            traceback.print_exc()
        name = type(error).__name__
        mend = "please report it with the output of scaling --verbose …"
        fault = Fault("SC900", "internal", f"{name}: {clip(str(error), 300)}", "", mend)
        typer.echo(fault.render(), err=True)
        sys.exit(3)


def _run() -> Any:
    """Run typer without its own exit, so that exit codes are decided in one place."""
    try:
        return app(standalone_mode=False) or 0
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None:
            if type(error).__name__ == "Abort":
                raise KeyboardInterrupt from None
            raise
        told = refusal(error)
        if told is not None:
            raise told from None
        show()  # the help of a group
        return 2
