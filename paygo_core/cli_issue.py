"""The command `paygo device issue`: the tokens of a list of orders, each order once."""

from __future__ import annotations

from decimal import Decimal

import click

from paygo_core.cli_options import amount
from paygo_core.cli_registry import open_registry, registry_options
from paygo_core.progress import progress_of
from paygo_core.refusals import Refusals
from paygo_core.shell import Status, emit, note, output_options
from paygo_core.tokens import TokenType

_SHOWN_PROBLEMS = 20


@click.command()
@click.argument("file", metavar="ORDERS.csv", type=click.Path())
@click.option("-o", "--output", metavar="OUT.csv", type=click.Path(), required=True, help="Where the tokens go.")
@click.option("--add", metavar="DAYS", type=amount, help="Add so many days, for every row.")
@click.option("--set", "set_", metavar="DAYS", type=amount, help="Set the time left to so many days, for every row.")
@click.option("--batch", metavar="NAME", default="", help="The list's name, where its rows have no reference.")
@click.option(
    "--reason",
    type=click.Choice(["payment", "bonus", "manual", "test"]),
    default="payment",
    show_default=True,
    help="Why, where a row does not say it.",
)
@click.option("--by", "issued_by", default="", metavar="NAME", help="Who issues them, for the record.")
@click.option("--dry-run", is_flag=True, help="Write what would be issued; record nothing.")
@click.option(
    "--quarantine", metavar="FILE", type=click.Path(), help="Where refused rows go; else ORDERS.csv.quarantine.csv."
)
@registry_options
@output_options
def issue(
    *,
    file: str,
    output: str,
    add: Decimal | None,
    set_: Decimal | None,
    batch: str,
    reason: str,
    issued_by: str,
    dry_run: bool,
    quarantine: str | None,
    registry_path: str,
    as_json: bool,
) -> int:
    """Issue tokens for a list of orders (CSV), each order once.

    The list has a column Serial Number, and of Type (ADD, SET, UNLOCK, SYNC), Value (raw units) or Days, Reason and
    Reference what is needed. The reference, such as the payment's number, makes sure that an order is carried out
    once: given again, also after a crash, the list comes out with the same tokens. A list without references gets a
    name of its own by --batch. A row that cannot be carried out is copied to the quarantine file with the reason; the
    exit status then is 1. OUT.csv appears whole or not at all, readable by its owner alone.

    \b
      paygo device issue payments.csv -o tokens.csv
      paygo device issue solar-week.csv -o tokens.csv --add 7 --reason bonus --batch solar-week-2026
    """
    from paygo_core.order_list import Given, carry_out_list

    if add is not None and set_ is not None:
        raise click.UsageError("give one of --add and --set")
    if "-" in (file, output):
        raise click.UsageError("name files: a pipe has no place for what appears whole or not at all")
    kind = TokenType.ADD_TIME if set_ is None else TokenType.SET_TIME
    given = Given(kind, days=add if add is not None else set_, reason=reason, batch=batch)
    with (
        Refusals(_SHOWN_PROBLEMS) as tell,
        open_registry(registry_path) as registry,
        progress_of(file, "orders") as progress,
    ):
        done = carry_out_list(
            registry,
            file,
            output,
            given,
            issued_by=issued_by,
            dry_run=dry_run,
            quarantine=quarantine,
            on_problem=tell,
            on_progress=progress,
        )
    if done.unused:
        note(f"Columns that were not looked at: {', '.join(done.unused)}")
    if as_json:
        facts = {"orders": done.orders, "tokens": done.tokens, "repeated": done.repeated, "refused": done.refused}
        kept = None if done.quarantine is None else str(done.quarantine)
        emit({**facts, "output": output, "quarantine": kept, "dry_run": dry_run})
    else:
        before = f", {done.repeated} of them as they were before" if done.repeated else ""
        what = "would be carried out" if dry_run else "carried out"
        click.echo(f"{done.orders} orders {what} with {done.tokens} tokens{before}; {done.refused} refused")
    if dry_run:
        note("Nothing was recorded: these tokens are not to be handed out")
    if done.quarantine:
        note(f"The refused rows are in {done.quarantine}")
    return Status.FAILED if done.refused else Status.PASSED
