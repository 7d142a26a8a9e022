"""Host rules, and the guard that stands at the end of every way that they do not open."""

import socket
from pathlib import Path

import pytest
import trio
from playwright.async_api import Page

from orchestrator.browser.guard import COUNTED_HOSTS, OTHERS, HostRule, HostRules, open_guard
from orchestrator.browser.page import open_url
from orchestrator.browser.pool import ContextPool
from orchestrator.errors import HostRefusedError
from tests.browser.harness import Reply, Site, has_ipv6, serve


@pytest.mark.parametrize(
    ("text", "bypass"),
    [
        ("example.org", "example.org"),
        ("Example.ORG:8080", "example.org:8080"),
        ("*.example.org", "*.example.org"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:8080", "[::1]:8080"),
        ("[::1]", "[::1]"),
    ],
)
def test_a_rule_is_written_as_chromium_reads_it(text: str, bypass: str) -> None:
    assert HostRule.parse(text).bypass() == bypass


@pytest.mark.parametrize(
    "text",
    ["", "*", "a,b", "a;b", "<local>", "<-loopback>", "10.0.0.0/8", "http://a", "a b", "*.", "a:0", "a:x",
     "a:70000", "*.0.0.1", ".org", "a..b", "::1", "[::1", "a/b", "user@a"],
)  # fmt: skip
def test_what_chromium_would_read_as_more_than_one_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a host|no valid port"):
        HostRule.parse(text)


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("http://example.org/a", True),
        ("https://example.org:8443/", True),
        ("http://www.example.org/", False),
        ("http://example.org.evil.test/", False),
        ("http://example.org@evil.test/", False),
        ("http://a.wild.test/", True),
        ("http://wild.test/", False),
        ("http://127.0.0.1:80/", True),
        ("http://127.0.0.1/", True),
        ("http://127.0.0.1:81/", False),
        ("file:///etc/passwd", False),
        ("view-source:http://example.org/", False),
        ("ftp://example.org/", False),
        ("javascript:alert(1)", False),
        ("http://[broken/", False),
        ("about:blank", False),
    ],
)
def test_only_web_addresses_of_listed_hosts_are_allowed(url: str, is_allowed: bool) -> None:
    assert HostRules.parse(["example.org", "*.wild.test", "127.0.0.1:80"]).allows(url) is is_allowed


async def test_the_guard_answers_nonsense_and_silence_without_harm() -> None:
    async with open_guard() as guard:
        broken_address = b"GET http://[x HTTP/1.1\r\n\r\n"
        for request in (b"\x00\xff\xfe\r\n\r\n", b"GET", b"", b"A" * 20_000, broken_address):
            async with await trio.open_tcp_stream("127.0.0.1", guard.port) as stream:
                await stream.send_all(request)
                await stream.send_eof()
                answer = b"".join([chunk async for chunk in stream])
                assert b"200 OK" not in answer
        assert sum(guard.refused.values()) <= 5


async def test_the_guard_counts_no_more_hosts_than_it_has_room_for() -> None:
    async with open_guard() as guard:
        for number in range(COUNTED_HOSTS + 5):
            guard._count("CONNECT", f"host{number}:443")
        assert len(guard.refused) == COUNTED_HOSTS + 1
        assert guard.refused[OTHERS] == 5


async def test_an_error_in_the_block_comes_out_of_the_guard_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with open_guard():
            raise KeyError("x")


TRY_EVERYTHING = """async ([host, udp]) => {
  const found = {};
  const settle = (name, promise) => Promise.race([
    promise.then(value => found[name] = String(value), () => found[name] = 'refused'),
    new Promise(done => setTimeout(done, 2000)),
  ]);
  const event = (target, good) => new Promise((ok, no) => { target['on' + good] = () => ok(good); target.onerror = no; });
  const frame = document.createElement('iframe'); frame.src = `http://${host}/frame`; document.body.append(frame);
  const link = document.createElement('link'); link.rel = 'prefetch'; link.href = `http://${host}/prefetch`;
  document.head.append(link);
  navigator.sendBeacon(`http://${host}/beacon`, 'x');
  const code = `fetch('http://${host}/worker', {mode: 'no-cors'}).then(() => postMessage('done'), () => postMessage('done'))`;
  const rtc = new RTCPeerConnection({iceServers: [{urls: 'stun:' + udp}]});
  rtc.createDataChannel('x');
  await rtc.setLocalDescription(await rtc.createOffer());
  const image = new Image();
  image.src = `http://${host}/image`;
  await Promise.all([
    settle('image', event(image, 'load')),
    settle('socket', event(new WebSocket(`ws://${host}/socket`), 'open')),
    settle('events', event(new EventSource(`http://${host}/events`), 'open')),
    settle('fetch', fetch(`http://${host}/fetch`).then(r => r.status)),
    settle('file', fetch('file:///etc/hostname').then(r => r.text())),
    settle('worker', event(new Worker(URL.createObjectURL(new Blob([code]))), 'message')),
    settle('gathered', new Promise(done => rtc.onicegatheringstatechange = () => rtc.iceGatheringState === 'complete' && done())),
  ]);
  return found;
}"""  # noqa: E501 - a script of the page


async def test_nothing_that_a_page_loads_reaches_a_host_that_is_not_listed(
    pool: ContextPool, site: Site, other_site: Site
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)

        async def try_everything(page: Page) -> dict[str, str]:
            await site.open(page)
            found: dict[str, str] = await page.evaluate(
                TRY_EVERYTHING, [other_site.host, f"127.0.0.1:{udp.getsockname()[1]}"]
            )
            return found

        async with pool.use(0, "ada", site.hosts) as browser:
            found = await browser.visit(try_everything)
        with pytest.raises(BlockingIOError):
            udp.recv(2000)
    for name in ("image", "socket", "events", "fetch", "file"):
        assert found[name] == "refused", found
    assert other_site.seen == []
    assert pool.statistics().refused[other_site.host] >= 6


OTHER_HOSTS = ("localhost", "127.0.0.2", "0.0.0.0", "[::1]", "169.254.169.254", "10.0.0.1", "a.test")


async def test_a_redirect_to_another_host_is_refused(pool: ContextPool, site: Site) -> None:
    targets = [f"{host}:{site.port}" for host in OTHER_HOSTS]
    async with pool.use(0, "ada", site.hosts) as browser:
        for target in targets:
            site.pages["/away"] = Reply(status=302, headers={"Location": f"http://{target}/secret"})
            with pytest.raises(HostRefusedError, match="not allowed"):
                await browser.visit(site.open, "/away")
        assert (await browser.visit(site.open)).status == 200
    assert ("GET", "/secret") not in site.seen
    assert list(pool.statistics().refused) == targets


async def test_an_encrypted_address_of_another_host_is_refused(pool: ContextPool, site: Site) -> None:
    site.pages["/away"] = Reply(status=302, headers={"Location": "https://other.test/"})
    async with pool.use(0, "ada", site.hosts) as browser:
        with pytest.raises(HostRefusedError):
            await browser.visit(site.open, "/away")
    assert list(pool.statistics().refused) == ["other.test:443"]


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_a_listed_address_of_version_6_is_reached(pool: ContextPool) -> None:
    with serve(socket.AF_INET6, "::1") as site:
        hosts = frozenset({f"[::1]:{site.port}"})

        async def look(page: Page) -> int:
            return (await open_url(page, f"http://[::1]:{site.port}/", HostRules.parse(hosts))).status

        async with pool.use(0, "ada", hosts) as browser:
            assert await browser.visit(look) == 200


@pytest.mark.parametrize(
    "url",
    ["file:///etc/hostname", "chrome://version", "view-source:http://127.0.0.1/", "ftp://127.0.0.1/",
     "data:text/html,x", "javascript:1", "http://127.0.0.1:1/"],
)  # fmt: skip
async def test_an_address_that_is_no_page_of_the_site_is_not_opened(
    tmp_path: Path, site: Site, url: str
) -> None:
    rules = HostRules.parse(site.hosts)
    with pytest.raises(HostRefusedError):
        await open_url(object(), url, rules)  # type: ignore[arg-type]  # it must not even be asked


async def test_a_page_that_ends_outside_its_hosts_fails_the_visit(
    pool: ContextPool, site: Site, other_site: Site
) -> None:
    async def go(page: Page, url: str) -> None:
        await page.goto(url)

    async with pool.use(0, "ada", site.hosts) as browser:
        for url in ("file:///etc/hostname", "data:text/html,x", other_site.url()):
            with pytest.raises(HostRefusedError):
                await browser.visit(go, url)
        assert (await browser.visit(site.open)).status == 200
    assert other_site.seen == []
