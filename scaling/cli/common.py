"""What commands share: talk on standard error, data on standard output, option parsing."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from scaling.errors import ConfigError, Fault, Message

MAX_LEVELS = 1000
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done; write and spend nothing.")
]


def talk(text: str = "") -> None:
    """Print a line for the person, on standard error."""
    typer.echo(text, err=True)


def tell(messages: Iterable[Message]) -> None:
    """Print messages with their mends, warnings first."""
    for message in sorted(messages, key=lambda m: m.severity == "info"):
        for line in message.lines():
            talk(line)


def print_json(value: Mapping[str, Any]) -> None:
    """Print machine-readable output on standard output."""
    typer.echo(json.dumps(value, indent=1, allow_nan=False))


def follow_up(command: str) -> None:
    """Name the next command, on a terminal only."""
    if sys.stderr.isatty():
        talk(f"Next: {command}")


def pairs(option: str, items: list[str]) -> dict[str, str]:
    """Parse ``NAME=VALUE`` options."""
    out: dict[str, str] = {}
    for item in items:
        name, sign, value = item.partition("=")
        if not sign or not name.strip() or not value.strip():
            raise ConfigError(Fault("SC004", option, f'"{item}"', "NAME=VALUE"))
        if name.strip() in out:
            found = f'"{name.strip()}" stands twice'
            raise ConfigError(Fault("SC004", option, found, "each name once"))
        out[name.strip()] = value.strip()
    return out


def number(option: str, text: str) -> float:
    """Parse one number."""
    try:
        return float(text)
    except ValueError:
        raise ConfigError(Fault("SC004", option, f'"{text}"', "a number such as 1e18")) from None


def numbers(option: str, text: str) -> list[float]:
    """Parse ``1e15,1e16`` or ``LOW:HIGH:COUNT``, evenly spaced in the logarithm."""
    if ":" not in text:
        return [number(option, part) for part in text.split(",") if part.strip()]
    parts = [number(option, part) for part in text.split(":")]
    sound = len(parts) == 3 and 0 < parts[0] < parts[1] and 2 <= parts[2] <= MAX_LEVELS
    if not sound or parts[2] != int(parts[2]):
        raise ConfigError(
            Fault("SC004", option, f'"{text}"', "LOW:HIGH:COUNT, such as 1e15:1e17:3")
        )
    low, high, count = parts[0], parts[1], int(parts[2])
    return [float(f"{low * (high / low) ** (i / (count - 1)):.6g}") for i in range(count)]


def command_line() -> str:
    """What would do the same anywhere: what was typed, and the options that settings gave.

    Without the path of the program and of input folders.
    """
    from scaling.cli.settings import typed

    command, options = typed()
    words, at = sys.argv[1:], 0
    for word in command:  # options stand behind the command, before what ``--`` may end
        at = words.index(word, at) + 1 if word in words[at:] else at
    named = [Path(word).name if Path(word).is_absolute() else word
             for word in [*words[:at], *options, *words[at:]]]  # fmt: skip
    return "scaling " + " ".join(shlex.quote(word) for word in named)
