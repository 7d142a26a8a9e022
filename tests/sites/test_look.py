"""A look at a site, as nobody: whether it answers at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from orchestrator.browser.pool import ContextPool
from orchestrator.errors import PageUnexpectedError, SiteRateLimitedError, SiteUnavailableError
from orchestrator.sites import Profile, load_profile
from orchestrator.sites.session import look_at_site
from tests.browser.harness import MemoryStore, Reply, Site, pool_in, serve


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as site:
        yield site


@pytest.fixture
def profile(site: Site) -> Profile:
    return load_profile("microblog", f"http://{site.host}")


async def test_a_site_that_shows_its_sign_in_page_answers(
    pool: ContextPool, site: Site, profile: Profile
) -> None:
    site.pages[profile.sign_in.path] = Reply()
    await look_at_site(pool, profile)
    assert ("GET", profile.sign_in.path) in site.seen
    assert [method for method, _ in site.seen if method != "GET"] == []
    assert all(slot.account is None for slot in pool.statistics().slots)  # no slot was used


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(status=503), SiteUnavailableError),
        (Reply(lost=True), SiteUnavailableError),
        (Reply(status=429), SiteRateLimitedError),
        (Reply(status=404), PageUnexpectedError),
    ],
    ids=["server error", "no answer", "asks for patience", "not found"],
)
async def test_what_it_says_instead_is_an_error_of_its_kind(
    reply: Reply, error: type[Exception], pool: ContextPool, site: Site, profile: Profile
) -> None:
    site.pages[profile.sign_in.path] = reply
    with pytest.raises(error):
        await look_at_site(pool, profile)


async def test_a_site_that_leads_to_a_host_that_is_not_allowed_answers_and_nobody_goes_there(
    pool: ContextPool, site: Site, profile: Profile
) -> None:
    with serve() as other:
        site.pages[profile.sign_in.path] = Reply(status=302, headers={"Location": other.url("/elsewhere")})
        await look_at_site(pool, profile)
        assert other.seen == []


async def test_without_a_browser_nobody_can_tell(tmp_path: Path, profile: Profile) -> None:
    async with pool_in(tmp_path, MemoryStore(), executable=tmp_path / "missing") as pool:
        with pytest.raises(SiteUnavailableError, match=r"it can't be looked at: .*missing"):
            await look_at_site(pool, profile)


async def test_a_look_that_is_cut_off_leaves_nothing_open(
    pool: ContextPool, site: Site, profile: Profile
) -> None:
    await pool.probe()
    with trio.CancelScope() as scope:

        def cut_off(_request: object) -> Reply:
            trio.from_thread.run_sync(scope.cancel, trio_token=token)
            return Reply(lost=True)

        token = trio.lowlevel.current_trio_token()
        site.pages[profile.sign_in.path] = cut_off
        await look_at_site(pool, profile)
    assert pool._engine.last is not None
    assert pool._engine.last.browser.contexts == []
