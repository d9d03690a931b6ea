"""The options that name a registry and what opens its keys, for the commands of every package."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from paygo_core.secret_file import first_line

if TYPE_CHECKING:
    from paygo_core.registry import Registry

_FILE = "paygo.passphrase_file"
_KEY_FILE = "paygo.registry_key_file"


def _remember(ctx: click.Context, parameter: click.Parameter, name: str | None) -> None:
    ctx.meta[f"paygo.{parameter.name}"] = name


def registry_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--registry as the argument registry_path, and the options of registry_key_options."""
    option = click.option(
        "--registry",
        "registry_path",
        metavar="FILE",
        envvar="PAYGO_REGISTRY",
        default="paygo.db",
        show_default=True,
        show_envvar=True,
        help="The registry: an SQLite file, or a URL of PostgreSQL.",
    )
    return option(registry_key_options(command))


def registry_key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What opens a registry's keys, which open_registry finds by itself."""
    for option in (
        click.option(
            "--registry-key-file",
            metavar="FILE",
            envvar="PAYGO_REGISTRY_KEY_FILE",
            show_envvar=True,
            expose_value=False,
            callback=_remember,
            help="The random bytes that open an encrypted registry, in place of a passphrase.",
        ),
        click.option(
            "--passphrase-file",
            metavar="FILE",
            envvar="PAYGO_PASSPHRASE_FILE",
            show_envvar=True,
            expose_value=False,
            callback=_remember,
            help="First line: the passphrase of an encrypted registry; or set PAYGO_PASSPHRASE.",
        ),
    ):
        command = option(command)
    return command


def open_registry(
    path: str, create: bool = False, *, key_file: str | None = None, passphrase_file: str | None = None
) -> Registry:
    """A registry, opened with what the options of the running command name.

    A new one is encrypted from the start when they name a key file or a passphrase that nobody has to type. key_file
    and passphrase_file: what is used where neither options nor environment name one.
    """
    from paygo_core.registry import Registry

    context = click.get_current_context(silent=True)
    meta = context.meta if context is not None else {}
    if not os.environ.get("PAYGO_PASSPHRASE"):
        named = meta.get(_FILE) or passphrase_file
        typed = named is None
    else:
        named, typed = meta.get(_FILE), False
    ask = functools.partial(_passphrase, named)
    return Registry.open(
        path, create, passphrase=ask() if create and not typed else ask, key_file=meta.get(_KEY_FILE) or key_file
    )


def read_passphrase(name: str) -> str:
    """The first line of a file; - is standard input."""
    return first_line(name, "passphrase", f"the passphrase file {name}", stdin=True)


def _passphrase(name: str | None) -> str:
    """From a file, the environment, or whoever sits at the terminal."""
    if name is not None:
        return read_passphrase(name)
    given = os.environ.get("PAYGO_PASSPHRASE", "")
    if not given and sys.stdin.isatty() and sys.stderr.isatty():
        return str(click.prompt("Passphrase of the registry", hide_input=True, err=True))
    return given
