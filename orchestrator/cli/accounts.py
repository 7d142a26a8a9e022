"""`orchestrator ctl accounts`: show the accounts, add one, remove one, switch one off and on."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from orchestrator.cli.parts import Exit, Json, a_console, examples, message, show
from orchestrator.errors import SettingsError

Name = Annotated[str, typer.Argument(metavar="NAME", help="An account's name; `ctl accounts` lists them.")]
PerDay = Annotated[int | None, typer.Option(min=0, max=10_000, show_default=False)]


class _Accounts(TyperGroup):
    """Without an order the accounts are shown."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, "--help"}:
            args = ["show", *args]
        return super().parse_args(ctx, args)


accounts = typer.Typer(cls=_Accounts, help="The accounts: how they fare, and which there are.")


@accounts.command(
    "show",
    epilog=examples(
        "orchestrator ctl accounts",
        "orchestrator ctl accounts ada --json",
        "orchestrator ctl accounts --watch   # until all are signed in",
    ),
)
def show_accounts(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One account alone.", show_default=False)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=20_000, help="So many; 50 without it.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="A progress bar of the first sign-ins.")] = False,
    is_json: Json = False,
) -> None:
    """Signed in since when, health, the day's limits, followers, what is in the way. Needs no `show`."""
    if watch:
        from orchestrator.terminal.sign_ins import watch_sign_ins

        is_all = watch_sign_ins(context.obj.ask, a_console())
        raise typer.Exit(Exit.DONE if is_all else Exit.FAILED)
    from orchestrator.terminal.accounts import render_accounts

    show(context.obj, "accounts", render_accounts, is_json, account=name, limit=limit)


@accounts.command(
    epilog=examples(
        "orchestrator ctl accounts add desk --site blog --posts-per-day 12   # asks for the password",
        "orchestrator ctl accounts add desk --site blog --password-file desk.password",
    )
)
def add(  # noqa: PLR0913, PLR0917 - as many as it has options
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What we call it; unique.")],
    site: Annotated[str, typer.Option(metavar="SITE", help="A name under `sites` of the settings.")],
    username: Annotated[
        str | None, typer.Option(metavar="USER", help="Its name at the site's sign-in; NAME without it.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", readable=False, help="Its first line; else it is asked for, or read from stdin."
        ),
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="IANA name; UTC without it.", show_default=False)
    ] = None,
    posts_per_day: PerDay = None,
    replies_per_day: PerDay = None,
    sign_ins_per_day: PerDay = None,
    visits_per_day: Annotated[int | None, typer.Option(min=1, max=1_000_000, show_default=False)] = None,
    is_json: Json = False,
) -> None:
    """Add an account; it is signed in next. The password is no argument, since others could read that."""
    show(
        context.obj,
        "account_add",
        message,
        is_json,
        account=name,
        site=site,
        username=username or name,
        password=_password(name, password_file),
        time_zone=time_zone,
        posts_per_day=posts_per_day,
        replies_per_day=replies_per_day,
        sign_ins_per_day=sign_ins_per_day,
        visits_per_day=visits_per_day,
    )


def _password(name: str, file: Path | None) -> str:
    """From the file, from a person at the terminal, or from whatever is piped into us."""
    if file is not None:
        from orchestrator.settings.base import read_secret

        return read_secret(file, "--password-file", {}).get_secret_value()
    if sys.stdin.isatty():
        from getpass import getpass

        given = getpass(f"Password of {name}: ")
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        raise SettingsError("no password was given", remedy="Type it, pipe it in, or name --password-file")
    return given


@accounts.command(epilog=examples("orchestrator ctl accounts remove desk"))
def remove(context: typer.Context, name: Name, is_json: Json = False) -> None:
    """Remove an account that was added; what is under way may end. Queued posts stay in the database."""
    show(context.obj, "account_remove", message, is_json, account=name)


@accounts.command(epilog=examples("orchestrator ctl accounts disable desk"))
def disable(context: typer.Context, name: Name, is_json: Json = False) -> None:
    """Switch an account off: no job works for it, its posts wait. Holds across restarts."""
    show(context.obj, "account_disable", message, is_json, account=name)


@accounts.command(epilog=examples("orchestrator ctl accounts enable desk"))
def enable(context: typer.Context, name: Name, is_json: Json = False) -> None:
    """Switch an account on again."""
    show(context.obj, "account_enable", message, is_json, account=name)
