"""The program ``scaling``: commands, exit codes, and errors turned into messages."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Annotated, Any

import typer

INTERRUPTED = 130

app = typer.Typer(
    name="scaling",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
sweep_app = typer.Typer(no_args_is_help=True, help="Plan, train and watch a sweep.")
laws_app = typer.Typer(no_args_is_help=True, help="The laws that can be fitted.")
data_app = typer.Typer(no_args_is_help=True, help="Public runs, fetched from their origin.")
app.add_typer(sweep_app, name="sweep")
app.add_typer(laws_app, name="laws")
app.add_typer(data_app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        from scaling.runs.provenance import package_version

        typer.echo(f"scaling {package_version()}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the traceback of an internal error.")
    ] = False,
) -> None:
    """Scaling-law studies: plan, train, fit, report.

    scaling study sweeps/quickstart.toml -o out    the whole chain

    scaling fit results.csv                        a law on anybody's runs

    scaling predict fit.json --flops 1e21          what to train, at what loss

    scaling report results.csv -o report.html      and a report on it
    """
    del version
    if verbose:
        os.environ["SCALING_VERBOSE"] = "1"


for _module in (
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
    "explain",
):
    importlib.import_module(f"scaling.cli.{_module}")


def main() -> None:
    """Run the program; library errors become one message and their exit code."""
    from scaling.cli.common import follow_up
    from scaling.errors import Fault, ScalingError, clip

    try:
        code = _run()
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the last resort; it becomes exit code 3
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
        show()  # a usage error of the parser: it prints itself
        return 2
