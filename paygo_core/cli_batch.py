"""The command `paygo token batch`: the next token of every device of a list."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import click

from paygo_core.cli_options import amount, token_kind, whole
from paygo_core.errors import PaygoError
from paygo_core.progress import progress_of
from paygo_core.refusals import Refusals
from paygo_core.shell import Status, emit, note, output_options
from paygo_core.tokens import LARGEST_COUNT

if TYPE_CHECKING:
    from paygo_core.token_rows import Order

_SHOWN_PROBLEMS = 20


def _order(add: Decimal | None, set_: Decimal | None, unlock: bool, sync: bool, units: bool) -> Order | None:
    """What the options ask for; None when they ask for nothing, so that the list has to say it."""
    from paygo_core.token_rows import Order

    amount = add if add is not None else set_
    if units and amount is None:
        raise click.UsageError("--units goes with --add and --set")
    if add is None and set_ is None and not unlock and not sync:
        return None
    kind = token_kind(add, set_, unlock, sync)
    if not units:
        return Order(kind, days=amount)
    assert amount is not None
    if amount != int(amount):
        raise click.UsageError(f"{amount} is not a whole number of units")
    return Order(kind, int(amount))


@click.command()
@click.argument("file", metavar="IN.csv", type=click.Path())
@click.option("-o", "--output", metavar="OUT.csv", type=click.Path(), required=True, help="Where the tokens go.")
@click.option("--add", metavar="N", type=amount, help="Add N days, for every device.")
@click.option("--set", "set_", metavar="N", type=amount, help="Set the credit of every device to N days.")
@click.option("--unlock", is_flag=True, help="Unlock every device for good (DISABLE_PAYG).")
@click.option("--sync", is_flag=True, help="Move every device's count forward (COUNTER_SYNC).")
@click.option("--units", is_flag=True, help="N is raw units, not days.")
@click.option(
    "--max-count",
    metavar="N",
    type=whole(1, LARGEST_COUNT),
    default=LARGEST_COUNT,
    show_default=True,
    help="The last count of the devices' model.",
)
@click.option(
    "--quarantine", metavar="FILE", type=click.Path(), help="Where refused rows go; without it, IN.csv.quarantine.csv."
)
@output_options
def batch(
    *,
    file: str,
    output: str,
    add: Decimal | None,
    set_: Decimal | None,
    unlock: bool,
    sync: bool,
    units: bool,
    max_count: int,
    quarantine: str | None,
    as_json: bool,
) -> int:
    """Make the next token of every device of a device list (CSV).

    What each gets is said by an option, the same for all, or by further columns of the list: Type (ADD_TIME when empty,
    SET_TIME, DISABLE_PAYG, COUNTER_SYNC) and Value (raw units) or Days. OUT.csv has the serials, tokens and counts, and
    no keys; next time the list's Count is the count that stands there. A token that a device could take for another
    count is not made: the next count takes its place. A broken row is refused with a reason and copied to the
    quarantine file, which holds keys; the exit status then is 1. OUT.csv appears whole or not at all.

    \b
      paygo token batch devices.csv -o tokens.csv --add 30
      paygo token batch orders.csv -o tokens.csv --json
    """
    try:
        from paygo_core.token_batch import issue_list
    except ImportError as error:
        if (error.name or "").split(".")[0] != "numpy":
            raise
        raise PaygoError("this command needs numpy", "pip install 'paygo-solar[batch]'") from None
    if "-" in (file, output):
        raise click.UsageError("name files: a pipe has no place for what appears whole or not at all")
    order = _order(add, set_, unlock, sync, units)
    with Refusals(_SHOWN_PROBLEMS) as tell, progress_of(file, "tokens") as progress:
        done = issue_list(
            file,
            output,
            order,
            quarantine=quarantine,
            max_count=max_count,
            on_problem=tell,
            on_progress=progress,
        )
    facts = {"rows": done.rows, "issued": done.issued, "refused": done.refused, "moved": done.moved}
    if as_json:
        emit({**facts, "output": output, "quarantine": done.quarantine and str(done.quarantine)})
    else:
        moved = f", {done.moved} of them at a later count so that no device takes it for another" if done.moved else ""
        click.echo(f"{done.issued} issued{moved}, {done.refused} refused")
    if done.quarantine:
        note(f"The refused rows, with their keys, are in {done.quarantine}")
    return Status.FAILED if done.refused else Status.PASSED
