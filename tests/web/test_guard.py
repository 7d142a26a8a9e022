"""The token, and who can reach a port."""

import pytest
from starlette.datastructures import Headers

from orchestrator.web.guard import Token, is_loopback, is_open_to_read


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("pi.example", False),
        ("", False),
    ],
)
def test_only_a_loopback_address_is_out_of_reach_for_others(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer


@pytest.mark.parametrize(
    ("host", "allowed", "answer"),
    [("127.0.0.1", [], True), ("127.0.0.1", ["watch.example"], False), ("0.0.0.0", [], False)],
)
def test_only_this_machine_reads_freely_and_only_while_no_proxy_is_meant_to_ask(
    host: str, allowed: list[str], answer: bool
) -> None:
    assert is_open_to_read(host, allowed) is answer


@pytest.mark.parametrize("shown", ["Bearer geheim", "bearer geheim", "Bearer  geheim "])
def test_the_token_is_known_as_http_writes_it(shown: str) -> None:
    assert Token("geheim").is_shown(Headers({"authorization": shown}))


def test_a_key_is_derived_for_each_purpose_and_token() -> None:
    keys = {Token(secret).derived(purpose) for secret in ("a", "b") for purpose in ("x", "y")}
    assert len(keys) == 4
    assert Token("a").derived("x") == Token("a").derived("x")
