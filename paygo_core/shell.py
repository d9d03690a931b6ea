"""What every `paygo` command shares: exit statuses, --json and --debug, one-sentence errors, configuration files."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

import click

from paygo_core.errors import PaygoError, Problem
from paygo_core.redact import mask_secrets
from paygo_core.toml import TOMLDecodeError, loads

Command = TypeVar("Command", bound=Callable[..., Any])


class Status(IntEnum):
    """Exit statuses, the same for every command."""

    PASSED = 0
    FAILED = 1
    WRONG_USE = 2
    BLOCKED = 3
    NO_ANSWER = 4
    DEFECT = 70
    INTERRUPTED = 130


def output_options(command: Command) -> Command:
    """Adds --json and --debug. The command sees only `as_json`."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON for machines, one object a line.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error; secrets stay masked.")
    @functools.wraps(command)
    def wrapped(*args: Any, debug: bool, as_json: bool, **kwargs: Any) -> Any:
        meta = click.get_current_context().find_root().meta
        meta["paygo.debug"] = debug
        meta["paygo.json"] = as_json
        return command(*args, as_json=as_json, **kwargs)

    return wrapped  # type: ignore[return-value]


class FiniteFloat(click.FloatRange):
    """A number within bounds; click's own range lets NaN through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def emit(record: Mapping[str, Any]) -> None:
    """One JSON object on one line of standard output."""
    click.echo(json.dumps(record, separators=(",", ":"), default=str))


def put_out(data: bytes) -> None:
    """Bytes to standard output, which need not be there at once."""
    sys.stdout.buffer.write(data)


def note(text: str) -> None:
    """A line for people, on standard error. Where that is full there is nobody to tell."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def load_configuration() -> dict[str, Any]:
    """Defaults for options from the user directory's paygo.toml, overridden by ./paygo.toml."""
    merged: dict[str, Any] = {}
    for path in (Path(click.get_app_dir("paygo")) / "paygo.toml", Path("paygo.toml")):
        try:
            loaded = loads(path.read_text("utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, TOMLDecodeError) as error:
            raise PaygoError(
                f"{path}: {error}", "the configuration is a TOML file with a table for each group"
            ) from None
        _merge(merged, loaded)
    return merged


def _merge(target: dict[str, Any], extra: Mapping[str, Any]) -> None:
    for name, value in extra.items():
        old = target.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value)
        else:
            target[name] = value


def _check_tables(command: click.Command, table: dict[str, Any], words: list[str]) -> None:
    """Raises PaygoError where the configuration has a value in place of the table of a command that is called."""
    path = []
    for word in words:
        found = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if found is not None:
            path.append(word)
            table = table.get(word, {})
            if not isinstance(table, dict):
                raise PaygoError(
                    f"paygo.toml has a value for {'.'.join(path)}, which is a command",
                    f"write a table [{'.'.join(path)}] with values for its options",
                )
            command = found


def _report(meta: Mapping[str, Any], status: int, cause: str, hint: str) -> int:
    cause, hint = mask_secrets(cause), mask_secrets(hint)
    if meta.get("paygo.json"):
        note(json.dumps({"error": cause, "hint": hint, "status": int(status)}))
    else:
        note(f"paygo: {cause}" + (f" ({hint})" if hint else ""))
    if meta.get("paygo.debug"):
        note(mask_secrets(traceback.format_exc()))
    return int(status)


def _stop(_signal: int, _frame: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def run(command: click.Command, arguments: list[str] | None = None) -> int:
    """Runs a command line and returns its exit status. Every problem becomes one sentence on standard error."""
    signal.signal(signal.SIGTERM, _stop)  # so that owners close their ports and files
    meta: dict[str, Any] = {
        "paygo.json": "--json" in (arguments if arguments is not None else sys.argv),
        "paygo.debug": "--debug" in (arguments if arguments is not None else sys.argv),
    }
    try:
        configuration = load_configuration()
        _check_tables(command, configuration, arguments if arguments is not None else sys.argv[1:])
        result = command.main(args=arguments, prog_name="paygo", standalone_mode=False, default_map=configuration)
        if sys.stdout is not None:  # it is None when it was closed
            sys.stdout.flush()
    except click.Abort:
        note("paygo: interrupted")
        return Status.INTERRUPTED
    except KeyboardInterrupt:
        note("paygo: interrupted")
        return Status.INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        note(error.format_message())
        return Status.WRONG_USE
    except click.UsageError as error:
        where = f"; see '{error.ctx.command_path} --help'" if error.ctx else ""
        return _report(meta, Status.WRONG_USE, error.format_message().rstrip("."), where.lstrip("; "))
    except click.ClickException as error:
        return _report(meta, Status.WRONG_USE, error.format_message(), "")
    except Problem as problem:
        return _report(meta, problem.exit_status, problem.cause, problem.hint)
    except BrokenPipeError:
        _forget_output()
        return Status.PASSED
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            return _defect(meta, error)
        if traceback.extract_tb(error.__traceback__)[-1].filename not in (click.utils.__file__, __file__):
            return _report(meta, Status.BLOCKED, f"a file cannot be written: {error.strerror}", "make room on the disk")
        _forget_output()
        hint = "nothing is wrong with the device; look at where the output goes"
        return _report(meta, Status.WRONG_USE, f"standard output cannot be written: {error.strerror}", hint)
    except Exception as error:
        return _defect(meta, error)
    return int(result) if isinstance(result, int) else Status.PASSED


def _defect(meta: Mapping[str, Any], error: Exception) -> int:
    hint = "a defect of ours: please report it with what --debug prints"
    return _report(meta, Status.DEFECT, f"{type(error).__name__}: {error}", hint)


def _forget_output() -> None:
    """What is still to be written goes nowhere, so that the end of Python does not fail of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
