"""The markup that site profiles rely on, and what the pages do."""

from pathlib import Path

import httpx
import pytest
from protego import Protego

from orchestrator.demo.pages import POSTS_A_PAGE, refusal
from orchestrator.demo.site import Site
from tests.demo.harness import HOUR, Moment, Visitor, open_site, open_visitor, parse

ALERT = "p.error[role=alert]"


# ── signing in and out ──────────────────────────────────────────────────────────────────────────


async def test_the_sign_in_form_has_name_password_and_a_button(visitor: Visitor) -> None:
    form = (await visitor.get("/sign-in")).one("form#sign-in[method=post]")
    form.one("input[name=username]")
    form.one("input[name=password][type=password]")
    form.one("button[type=submit]")


async def test_signing_in_leads_home_with_a_session_cookie_that_scripts_cannot_read(visitor: Visitor) -> None:
    response = await visitor.sign_in()
    assert (response.status_code, response.headers["location"]) == (303, "/")
    cookie = response.headers["set-cookie"].lower()
    assert cookie.startswith("session=")
    for part in ("httponly", "samesite=lax", f"max-age={30 * 24 * 3600}", "path=/"):
        assert part in cookie


async def test_the_name_may_be_written_in_capitals(visitor: Visitor) -> None:
    response = await visitor.send_form("/sign-in", "sign-in", username=" ADA ", password="pass-of-ada")
    assert response.status_code == 303
    assert (await visitor.get("/")).one("[data-testid=me]").attributes["href"] == "/@ada"


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong"), ("nobody", "x"), ("willow", ""), ("", "")])
async def test_a_wrong_name_or_password_says_so_and_signs_nobody_in(
    visitor: Visitor, name: str, password: str
) -> None:
    response = await visitor.send_form("/sign-in", "sign-in", username=name, password=password)
    assert response.status_code == 401
    assert parse(response.text).one(ALERT).text
    assert (await visitor.get("/")).all("[data-testid=me]") == []


async def test_signing_in_leads_to_the_page_that_was_wanted(visitor: Visitor) -> None:
    response = await visitor.http.get("/compose")
    assert (response.status_code, response.headers["location"]) == (303, "/sign-in?next=/compose")
    response = await visitor.send_form(
        "/sign-in?next=/compose", "sign-in", username="ada", password="pass-of-ada"
    )
    assert response.headers["location"] == "/compose"


@pytest.mark.parametrize(
    "target", ["https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)"]
)
async def test_signing_in_never_leads_to_another_site(visitor: Visitor, target: str) -> None:
    response = await visitor.send_form(
        f"/sign-in?next={target}", "sign-in", username="ada", password="pass-of-ada"
    )
    assert response.headers["location"] == "/"


@pytest.mark.parametrize("path", ["/", "/search", "/compose", "/@willow", "/@ada", "/sign-in"])
async def test_every_page_says_who_is_signed_in_and_lets_them_out(visitor: Visitor, path: str) -> None:
    await visitor.sign_in()
    header = (await visitor.get(path)).one("header.top")
    assert header.one("a[data-testid=me]").attributes["href"] == "/@ada"
    header.one("form#sign-out[method=post]")


async def test_signing_out_ends_the_session_also_for_a_copied_cookie(visitor: Visitor) -> None:
    await visitor.sign_in()
    token = visitor.http.cookies["session"]
    response = await visitor.send_form("/", "sign-out")
    assert response.status_code == 303
    visitor.http.cookies.set("session", token)
    assert (await visitor.http.get("/compose")).status_code == 303


async def test_a_session_is_over_after_thirty_days(visitor: Visitor, moment: Moment) -> None:
    await visitor.sign_in()
    moment.value += 30 * 24 * HOUR - 1
    assert (await visitor.http.get("/compose")).status_code == 200
    moment.value += 2
    assert (await visitor.http.get("/compose")).status_code == 303


async def test_every_form_has_a_token_and_is_refused_without_it(visitor: Visitor) -> None:
    assert (await visitor.http.post("/sign-in", data={"username": "ada"})).status_code == 403
    await visitor.sign_in()
    for path, fields in (("/compose", {"text": "hello"}), ("/sign-out", {"x": "y"})):
        response = await visitor.http.post(path, data=fields)
        assert response.status_code == 403
        assert parse(response.text).one(ALERT).text
    assert await visitor.ledger_texts() == []
    assert (await visitor.http.get("/compose")).status_code == 200


async def test_the_token_of_another_session_is_refused(site: Site, visitor: Visitor) -> None:
    await visitor.sign_in("ada")
    async with open_visitor(site.app) as other:
        await other.sign_in("bert")
        token = (await other.get("/compose")).one("form#compose").one("[name=form_token]").attributes["value"]
    response = await visitor.http.post("/compose", data={"form_token": token, "text": "hello"})
    assert response.status_code == 403


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_compose_form_has_a_text_of_at_most_280_characters(visitor: Visitor) -> None:
    await visitor.sign_in()
    form = (await visitor.get("/compose")).one("form#compose")
    assert form.one("textarea[name=text][maxlength=280]").text == "\n"
    assert form.one("input[type=hidden]").attributes["value"]
    form.one("button[type=submit]")


async def test_an_accepted_post_leads_to_its_page_which_shows_it(visitor: Visitor) -> None:
    await visitor.sign_in()
    response = await visitor.write("  First line,\r\n  second <b>line</b> & more?\r\n\r\n#books ")
    assert response.status_code == 303
    location = response.headers["location"]
    reference = location.removeprefix("/post/").removesuffix("?new=1")
    assert location == f"/post/{reference}?new=1"
    accepted = (await visitor.get(location)).one("[data-testid=accepted]")
    article = accepted.one(f"article.post[data-ref={reference}]")
    assert article.one(".text").text == "First line,\n  second <b>line</b> & more?\n\n#books"
    assert article.one("a.author").attributes["href"] == "/@ada"
    assert article.one("time[datetime]").attributes["datetime"] == "2026-05-04T12:00:00Z"


async def test_only_its_author_is_told_that_the_post_is_accepted(site: Site, visitor: Visitor) -> None:
    await visitor.sign_in()
    reference = await visitor.published("hello")
    assert (await visitor.get(f"/post/{reference}")).all("[data-testid=accepted]") == []
    async with open_visitor(site.app) as other:
        assert (await other.get(f"/post/{reference}?new=1")).all("[data-testid=accepted]") == []


async def test_references_are_short_and_no_numbers(visitor: Visitor) -> None:
    await visitor.sign_in()
    references = [await visitor.published(f"post {number}") for number in range(5)]
    assert len(set(references)) == 5
    assert all(6 <= len(reference) <= 12 and not reference.isdigit() for reference in references)


async def test_sending_the_same_form_twice_posts_twice(visitor: Visitor) -> None:
    await visitor.sign_in()
    token = (await visitor.get("/compose")).one("form#compose").one("[name=form_token]").attributes["value"]
    for _ in range(2):
        response = await visitor.http.post("/compose", data={"form_token": token, "text": "twice"})
        assert response.status_code == 303
    assert await visitor.ledger_texts() == ["twice", "twice"]


@pytest.mark.parametrize(
    "text", ["", " \n\t ", "x" * 281, "This is Forbidden.", "bell \x07", "nul \x00 byte"], ids=repr
)
async def test_a_refused_post_is_told_why_keeps_its_text_and_is_in_no_ledger(
    visitor: Visitor, text: str
) -> None:
    await visitor.sign_in()
    response = await visitor.write(text)
    assert response.status_code == 422
    page = parse(response.text)
    assert page.one(ALERT).text
    assert page.one("textarea[name=text]").text.strip() == text.strip()
    assert await visitor.ledger_texts() == []


async def test_line_breaks_count_as_one_character_each(visitor: Visitor) -> None:
    await visitor.sign_in()
    assert (await visitor.write("a\r\n" * 139 + "bc")).status_code == 303


def test_a_post_may_have_280_characters_of_any_script() -> None:
    assert refusal("ß" * 280) == refusal("🌱" * 280) == ""
    assert refusal("🌱" * 281) != ""


async def test_nobody_writes_without_signing_in(visitor: Visitor) -> None:
    response = await visitor.http.post("/compose", data={"text": "hello"})
    assert (response.status_code, response.headers["location"]) == (303, "/sign-in?next=/compose")
    assert await visitor.ledger_texts() == []


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_post_has_its_counts_as_plain_integers_and_its_replies(
    visitor: Visitor, moment: Moment
) -> None:
    await visitor.sign_in()
    reference = await visitor.published("What do you read first? #books")
    fresh = await visitor.get(f"/post/{reference}")
    assert [fresh.count(name) for name in ("likes", "replies", "views")] == [0, 0, 0]
    moment.value += 40 * HOUR
    page = await visitor.get(f"/post/{reference}")
    assert page.count("views") > page.count("likes") > page.count("replies") > 0
    assert len(page.one("ol.replies").all("li.reply")) == page.count("replies")


async def test_a_reply_stands_below_its_post_has_a_page_and_is_in_the_ledger_with_its_target(
    site: Site, visitor: Visitor
) -> None:
    await visitor.sign_in()
    target = await visitor.published("What do you read first? #books")
    async with open_visitor(site.app) as bert:
        await bert.sign_in("bert")
        response = await bert.reply(target, "the <b>end</b>")
        assert response.status_code == 303
        page = await bert.get(response.headers["location"])
        [shown] = page.one("ol.replies").all("li.reply[data-author=bert]")
        reference = shown.attributes["data-ref"]
        assert page.one("[data-testid=replied]").attributes["data-ref"] == reference
        assert shown.one(".reply-text").text == "the <b>end</b>"
    page = await visitor.get(f"{response.headers['location']}")
    assert not page.all("[data-testid=replied]")  # it is for its author alone
    assert page.count("replies") == 1
    own = await visitor.get(f"/post/{reference}")
    assert own.one("a[rel=up]").attributes["href"] == f"/post/{target}"
    assert (await visitor.reply(reference, "so did I")).status_code == 303  # replies can be answered
    ledger = (await visitor.admin("ledger")).json()["posts"]
    assert [entry["in_reply_to"] for entry in ledger] == [None, target, reference]
    for path in ("/", "/@bert", "/search?q=end"):
        listed = [node.attributes["data-ref"] for node in (await visitor.get(path)).all("article.post")]
        assert reference not in listed
    assert (await visitor.get("/@bert")).count("posts") == 0


async def test_a_refused_reply_says_why_and_keeps_the_text(visitor: Visitor) -> None:
    await visitor.sign_in()
    target = await visitor.published("hello")
    response = await visitor.reply(target, "this is forbidden")
    assert response.status_code == 422
    page = parse(response.text)
    assert "forbidden" in page.one(ALERT).text
    assert page.one("textarea[name=text]").text.strip() == "this is forbidden"
    assert await visitor.ledger_texts() == ["hello"]


async def test_only_who_is_signed_in_can_reply(site: Site, visitor: Visitor) -> None:
    await visitor.sign_in()
    target = await visitor.published("hello")
    async with open_visitor(site.app) as stranger:
        assert not (await stranger.get(f"/post/{target}")).all("form#reply")
        response = await stranger.http.post(f"/post/{target}/reply", data={"text": "hi"})
        assert (response.status_code, response.headers["location"]) == (303, f"/sign-in?next=/post/{target}")
        assert (await stranger.http.post("/post/nothing/reply", data={"text": "hi"})).status_code == 404
    assert (await visitor.http.post(f"/post/{target}/reply", data={"text": "hi"})).status_code == 403
    assert await visitor.ledger_texts() == ["hello"]


async def test_looking_at_a_post_is_no_view(visitor: Visitor) -> None:
    await visitor.sign_in()
    reference = await visitor.published("hello")
    for _ in range(3):
        assert (await visitor.get(f"/post/{reference}")).count("views") == 0


@pytest.mark.parametrize("path", ["/post/unknown", "/@nobody", "/nothing", "/post/", "/static/secret"])
async def test_what_is_not_there_is_a_404_page(visitor: Visitor, path: str) -> None:
    page = await visitor.get(path, 404)
    assert page.one(ALERT).text


@pytest.mark.parametrize("path", ["/", "/compose", "/@ada"])
async def test_a_wrong_method_is_a_405_page(visitor: Visitor, path: str) -> None:
    response = await visitor.http.request("DELETE", path)
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]
    parse(response.text).one(ALERT)


async def test_a_profile_shows_its_figures_and_lists_whole_posts_newest_first(visitor: Visitor) -> None:
    await visitor.sign_in()
    texts = [f"Post {number}\n\n#books" for number in range(POSTS_A_PAGE + 3)]
    references = [await visitor.published(text) for text in texts]
    page = await visitor.get("/@ada")
    assert page.one("h1").text == "Ada Green"
    assert page.count("posts") == len(texts)
    assert page.count("followers") >= 90
    assert page.count("following") >= 20
    articles = page.all("article.post")
    older = await visitor.get(page.one("a[rel=next]").attributes["href"])
    assert older.all("a[rel=next]") == []
    articles += older.all("article.post")
    assert [article.attributes["data-ref"] for article in articles] == references[::-1]
    assert [article.one(".text").text for article in articles] == texts[::-1]


async def test_the_address_of_a_profile_may_be_in_capitals(visitor: Visitor) -> None:
    assert (await visitor.get("/@ADA")).one("h1").text == "Ada Green"


async def test_the_home_page_shows_everybody_and_leads_to_older_posts(visitor: Visitor) -> None:
    page = await visitor.get("/")
    articles = page.all("article.post")
    assert len(articles) == POSTS_A_PAGE
    assert len({article.one("a.author").attributes["href"] for article in articles}) > 4
    older = await visitor.get(page.one("a[rel=next]").attributes["href"])
    seen = {article.attributes["data-ref"] for article in articles}
    assert seen.isdisjoint(article.attributes["data-ref"] for article in older.all("article.post"))


async def test_search_finds_posts_by_words_and_by_hashtag(visitor: Visitor) -> None:
    await visitor.sign_in()
    reference = await visitor.published("A zeppelin over the allotment #gardening")
    for query in ("zeppelin", "ALLOTMENT zeppelin", "%23gardening zeppelin"):
        page = await visitor.get(f"/search?q={query}")
        assert [a.attributes["data-ref"] for a in page.all("article.post")] == [reference]
    assert (await visitor.get("/search?q=zeppelins")).all("article.post") == []
    assert (await visitor.get("/search")).all("article.post") == []


async def test_search_leads_on_with_the_same_words(visitor: Visitor) -> None:
    page = await visitor.get("/search?q=a")
    href = page.one("a[rel=next]").attributes["href"]
    assert "q=a&" in href
    assert (await visitor.get(href)).all("article.post")


async def test_what_people_type_stays_text(visitor: Visitor) -> None:
    page = await visitor.get("/search?q=%22><script>alert(1)</script>")
    assert page.all("script") == []
    assert page.one("input[name=q]").attributes["value"] == '"><script>alert(1)</script>'


async def test_robots_are_kept_out_of_search_and_admin_and_the_one_that_lives_here_out_of_admin(
    visitor: Visitor,
) -> None:
    response = await visitor.http.get("/robots.txt")
    rules = Protego.parse(response.text)
    paths, agents = ("/@ada", "/search", "/search?q=tea", "/admin/ledger"), ("other", "orchestrator")
    allowed = {path: [rules.can_fetch(path, agent) for agent in agents] for path in paths}
    assert allowed == {
        "/@ada": [True, True],
        "/search": [True, True],
        "/search?q=tea": [False, True],
        "/admin/ledger": [False, False],
    }
    assert response.headers["content-type"].startswith("text/plain")


async def test_health_is_ok(visitor: Visitor) -> None:
    response = await visitor.http.get("/healthz")
    assert response.json() == {"status": "ok", "shown_time": "2026-05-04T12:00:00Z"}


@pytest.mark.parametrize("path", ["/", "/sign-in", "/nothing", "/static/murmur.css", "/admin/ledger"])
async def test_every_answer_carries_the_security_headers(visitor: Visitor, path: str) -> None:
    headers = (await visitor.http.get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


async def test_pages_are_not_kept_by_caches_but_the_stylesheet_is(visitor: Visitor) -> None:
    page = await visitor.get("/")
    stylesheet = page.one("link[rel=stylesheet]").attributes["href"]
    assert (await visitor.http.get("/")).headers["cache-control"] == "no-store"
    assert "max-age" in (await visitor.http.get(stylesheet)).headers["cache-control"]


@pytest.mark.parametrize("path", ["/", "/sign-in", "/search?q=a", "/@willow", "/nothing"])
async def test_pages_obey_their_own_content_security_policy(visitor: Visitor, path: str) -> None:
    page = parse((await visitor.http.get(path)).text)
    for node in page.walk():
        assert node.tag not in ("script", "style")
        assert not any(name == "style" or name.startswith("on") for name in node.attributes)


async def test_a_body_that_is_too_large_is_refused(visitor: Visitor) -> None:
    await visitor.sign_in()
    response = await visitor.http.post("/compose", data={"text": "x" * 70_000})
    assert response.status_code == 413
    assert await visitor.ledger_texts() == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"\xff%zz&&=&text"),
        ("multipart/form-data; boundary=x", b"--x\r\nrubbish"),
        ("multipart/form-data", b"no boundary"),
        ("application/json", b"{}"),
    ],
)
async def test_rubbish_in_a_form_is_refused_and_harms_nothing(
    visitor: Visitor, content_type: str, body: bytes
) -> None:
    await visitor.sign_in()
    response = await visitor.http.post("/compose", content=body, headers={"content-type": content_type})
    assert response.status_code in (400, 403)
    assert (await visitor.write("still here")).status_code == 303


async def test_a_failure_is_a_500_page_and_one_line_in_the_log(
    site: Site, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: object) -> object:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("orchestrator.demo.posts.Posts.get", fail)
    response = await visitor.http.get("/post/any")
    assert response.status_code == 500
    assert parse(response.text).one(ALERT).text
    [record] = [record for record in caplog.records if record.name == "murmur"]
    assert "GET '/post/any': RuntimeError" in record.getMessage()
    assert "\n" not in record.getMessage()


async def test_everything_is_there_after_a_restart(tmp_path: Path, moment: Moment) -> None:
    async with open_site(tmp_path, moment.clock()) as site, open_visitor(site.app) as visitor:
        await visitor.sign_in()
        reference = await visitor.published("Kept? #books")
        moment.value += 5 * HOUR
        before = await visitor.get(f"/post/{reference}")
        ledger = (await visitor.admin("ledger")).json()
        cookies = httpx.Cookies(visitor.http.cookies)
    async with open_site(tmp_path, moment.clock()) as site, open_visitor(site.app) as visitor:
        visitor.http.cookies = cookies
        after = await visitor.get(f"/post/{reference}")
        after.one("[data-testid=me]")
        assert [after.count(n) for n in ("likes", "replies", "views")] == [
            before.count(n) for n in ("likes", "replies", "views")
        ]
        assert (await visitor.admin("ledger")).json() == ledger
        assert (await visitor.write("And on it goes")).status_code == 303


async def test_an_account_that_is_no_longer_given_cannot_sign_in(tmp_path: Path, moment: Moment) -> None:
    async with open_site(tmp_path, moment.clock()) as site, open_visitor(site.app) as visitor:
        await visitor.sign_in("bert")
        cookies = httpx.Cookies(visitor.http.cookies)
    async with open_site(tmp_path, moment.clock(), without="bert") as site, open_visitor(site.app) as visitor:
        visitor.http.cookies = cookies
        assert (await visitor.http.get("/compose")).status_code == 303
        assert (await visitor.sign_in("bert")).status_code == 401
        assert (await visitor.get("/@bert")).one("h1").text == "Bert"
