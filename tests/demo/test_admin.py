import hashlib

import pytest

from orchestrator.demo.audience import taste_from
from orchestrator.demo.options import Options
from orchestrator.demo.site import Site
from tests.demo.harness import TOKEN, Visitor, open_visitor

PAGES = [
    ("GET", "ledger"),
    ("GET", "taste"),
    ("GET", "faults"),
    ("POST", "faults"),
    ("POST", "sign-out-everyone"),
]


@pytest.mark.parametrize(("method", "page"), PAGES)
@pytest.mark.parametrize("header", [None, "", f"Bearer {TOKEN}x", f"bearer {TOKEN}", "Bearer ", "Bearer é"])
async def test_admin_pages_need_the_token(
    visitor: Visitor, method: str, page: str, header: str | None
) -> None:
    headers = {} if header is None else {b"authorization": header.encode()}
    response = await visitor.http.request(method, f"/admin/{page}", headers=headers, json={})
    assert response.status_code == 401
    assert "Bearer" in response.json()["error"]


@pytest.mark.parametrize("client", ["192.0.2.7", "2001:db8::1", "unix"])
async def test_admin_pages_are_only_for_this_machine(site: Site, client: str) -> None:
    async with open_visitor(site.app, client) as visitor:
        assert (await visitor.admin("ledger")).status_code == 403
        assert (await visitor.http.get("/")).status_code == 200


async def test_the_ledger_has_every_accepted_post_with_its_fingerprint(visitor: Visitor) -> None:
    await visitor.sign_in()
    first = await visitor.published("one  two\nthree")
    second = await visitor.published("four")
    ledger = (await visitor.admin("ledger")).json()
    assert ledger["count"] == 2
    assert ledger["posts"][0] == {
        "sequence": 1,
        "reference": first,
        "account": "ada",
        "text": "one  two\nthree",
        "fingerprint": hashlib.sha256(b"one two three").hexdigest(),
        "accepted_at": "2026-05-04T12:00:00Z",
        "in_reply_to": None,
    }
    later = (await visitor.admin("ledger?after=1")).json()
    assert [entry["reference"] for entry in later["posts"]] == [second]


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "٣", "9" * 19])
async def test_the_ledger_goes_on_only_from_a_number(visitor: Visitor, after: str) -> None:
    response = await visitor.admin(f"ledger?after={after}")
    assert response.status_code == 422
    assert "sequence number" in response.json()["error"]


async def test_the_population_is_not_in_the_ledger(visitor: Visitor) -> None:
    assert (await visitor.get("/")).all("article.post")
    assert (await visitor.admin("ledger")).json() == {"count": 0, "posts": []}


async def test_the_taste_names_the_best_of_each_kind(visitor: Visitor) -> None:
    shown, taste = (await visitor.admin("taste")).json(), taste_from(7)
    assert shown["seed"] == 7
    assert shown["topics"] == dict(taste.topics)
    assert shown["formats"] == dict(taste.formats)
    assert [shown["hours_utc"][str(hour)] for hour in range(24)] == list(taste.hours)
    assert shown["topics"][shown["best"]["topic"]] == max(shown["topics"].values())
    assert shown["formats"][shown["best"]["format"]] == max(shown["formats"].values())
    assert taste.hours[shown["best"]["hour_utc"]] == max(taste.hours)


async def test_everyone_can_be_signed_out_at_once(site: Site, visitor: Visitor) -> None:
    await visitor.sign_in()
    async with open_visitor(site.app) as other:
        await other.sign_in("bert")
        assert (await visitor.admin("sign-out-everyone", {})).json() == {"signed_out": 2}
        for person in (visitor, other):
            response = await person.http.get("/compose")
            assert response.headers["location"] == "/sign-in?next=/compose"
    assert (await visitor.sign_in()).status_code == 303


async def test_faults_are_shown_and_switched_off_with_an_empty_object(visitor: Visitor) -> None:
    shown = (await visitor.admin("faults", {"error_500": 0.5, "drop_answer": {"times": 2}})).json()
    assert (await visitor.admin("faults")).json() == shown
    assert shown["error_500"]["rate"] == 0.5
    assert shown["drop_answer"]["times"] == 2
    assert (await visitor.admin("faults", {})).json() == {} == (await visitor.admin("faults")).json()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_0, "not JSON"),
        (b"[]", "expected a JSON object"),
        (b'{"typo": 1}', "unknown fault 'typo'; there are slow_s, rate_limit_429"),
        (b'{"error_500": "often"}', "error_500: expected a number or an object"),
        (b'{"error_500": true}', "error_500: expected a number or an object"),
        (b'{"error_500": 2}', "error_500.rate: 2 is not from 0 to 1"),
        (b'{"error_500": NaN}', "error_500.rate"),
        (b'{"slow_s": -1}', "slow_s.seconds: -1 is not from 0"),
        (b'{"slow_s": 1e9}', "slow_s.seconds"),
        (b'{"garbage": {"chance": 1}}', "garbage: unknown option 'chance'"),
        (b'{"garbage": {"times": 1.5}}', "garbage.times: 1.5 has the wrong type"),
        (b'{"garbage": {"times": -1}}', "garbage.times: -1"),
        (b'{"garbage": {"path": 3}}', "garbage.path: 3 has the wrong type"),
        (b'{"garbage": {"rate": true}}', "garbage.rate: True has the wrong type"),
        (b'{"garbage": {"processed": 1}}', "garbage.processed: 1 has the wrong type"),
    ],
)
async def test_wrong_faults_are_refused_with_the_reason_and_change_nothing(
    visitor: Visitor, body: bytes, reason: str
) -> None:
    before = (await visitor.admin("faults", {"slow_s": 0})).json()
    headers = {"authorization": f"Bearer {TOKEN}"}
    response = await visitor.http.post("/admin/faults", content=body, headers=headers)
    assert response.status_code == 422
    assert reason in response.json()["error"]
    assert (await visitor.admin("faults")).json() == before


def test_the_token_stands_in_no_text_that_options_show_of_themselves() -> None:
    assert "admin_token" not in {name for name, f in Options.__dataclass_fields__.items() if f.repr}
