"""Puts the site together and runs it."""

import errno
import fcntl
import logging
import random
import secrets
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trio
from starlette.types import ASGIApp

from orchestrator.clock import Clock
from orchestrator.demo.accounts import Accounts
from orchestrator.demo.admin import Admin
from orchestrator.demo.application import Parts, build_app
from orchestrator.demo.audience import Audience
from orchestrator.demo.database import Database, DatabaseVersionError, open_database
from orchestrator.demo.faults import Faults
from orchestrator.demo.following import Following
from orchestrator.demo.options import Options, StartError
from orchestrator.demo.pages import Pages
from orchestrator.demo.people import People
from orchestrator.demo.population import load_population
from orchestrator.demo.posts import Posts
from orchestrator.demo.records import Author
from orchestrator.demo.rendering import Renderer
from orchestrator.demo.server import serve
from orchestrator.demo.upkeep import Upkeep

log = logging.getLogger("murmur")

_DATABASE_FILE = "murmur.sqlite3"
_LOCK_FILE = "murmur.lock"


class Site:
    """The whole site, less the network."""

    def __init__(self, app: ASGIApp, accounts: Accounts, upkeep: Upkeep) -> None:
        self.app = app
        self.accounts = accounts
        self.upkeep = upkeep


async def run(options: Options) -> None:
    """Run the site until SIGTERM or SIGINT. Prints `ready http://HOST:PORT` when it listens.

    Raises StartError.
    """
    with (
        trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals,
        _data_of(options.data) as database,
    ):
        site = await build_site(options, database)
        listeners = await _listen(options.host, options.port)
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(site.upkeep.run)
            nursery.start_soon(site.accounts.provision, options.accounts)
            nursery.start_soon(_stop_at_signal, signals, stop)
            _announce(listeners[0])
            await serve(site.app, listeners, stop)
            nursery.cancel_scope.cancel()


async def build_site(options: Options, database: Database) -> Site:
    """Bring the stored people and posts up to date and build everything that works on them."""
    clock = options.clock
    population, chorus = load_population(options.seed, without=frozenset(options.accounts))
    posts, people = Posts(database), People(database)
    audience = Audience(options.seed, chorus)
    following = Following(people, posts, audience, clock)
    form_secret = await database.fact_or("form_secret", lambda: secrets.token_hex(32))
    accounts = Accounts(people, clock, bytes.fromhex(form_secret))
    renderer = Renderer(accounts, people, posts, audience, clock)
    faults = Faults(random.Random(options.seed))
    upkeep = Upkeep(posts, people, population, following, clock)
    await people.add(voice.author() for voice in population.voices)
    await people.add(_newcomer(account.name, account.display_name) for account in options.accounts.values())
    await people.set_accounts({account.name: account.display_name for account in options.accounts.values()})
    await upkeep.catch_up()
    _warn_of_the_past(posts, clock)
    pages = Pages(posts, people, accounts, following, renderer, clock)
    admin = Admin(options.admin_token, posts, people, audience, faults)
    app = build_app(Parts(database, posts, renderer, pages, admin, faults, clock))
    return Site(app, accounts, upkeep)


def _newcomer(name: str, display_name: str) -> Author:
    rng = random.Random(name)
    bio = "New on Murmur."
    return Author(name, display_name, bio, rng.randint(90, 150), rng.randint(20, 80), 0, 0, 0)


def _warn_of_the_past(posts: Posts, clock: Clock) -> None:
    newest = posts.newest_moment()
    if newest is not None and newest > clock.timestamp() + 1:
        log.warning(
            "the clock is %.0f s behind the newest post: counts stand still", newest - clock.timestamp()
        )


@contextmanager
def _data_of(directory: Path) -> Iterator[Database]:
    with ExitStack() as stack:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = stack.enter_context((directory / _LOCK_FILE).open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            database = stack.enter_context(open_database(directory / _DATABASE_FILE))
        except BlockingIOError:
            raise StartError(f"--data {directory}: in use by another site; stop it or take another") from None
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"--data {directory}: can't be used: {error}") from error
        except DatabaseVersionError as error:
            raise StartError(f"{error}; remove the directory or run that version") from None
        yield database


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        remedy = "; take another --port" if error.errno == errno.EADDRINUSE else ""
        raise StartError(f"can't listen on {host}:{port}: {error}{remedy}") from None


async def _stop_at_signal(signals: AsyncIterator[int], stop: trio.Event) -> None:
    async for _ in signals:
        stop.set()


def _announce(listener: trio.SocketListener) -> None:
    host, port = listener.socket.getsockname()[:2]
    sys.stdout.write(f"ready http://{f'[{host}]' if ':' in host else host}:{port}\n")
    sys.stdout.flush()
