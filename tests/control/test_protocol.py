import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.control import protocol
from orchestrator.errors import ControlError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@given(st.text(min_size=1), st.dictionaries(st.text(), JSON, max_size=4))
def test_a_request_arrives_as_it_was_sent(verb: str, args: dict[str, Any]) -> None:
    sent = protocol.frame(protocol.request_message(verb, args))

    size = protocol.body_bytes(sent[:4], protocol.MAX_REQUEST_BYTES)
    assert size == len(sent) - 4
    request = protocol.parse_request(sent[4:])
    assert (request.verb, request.args, request.id) == (verb, args, None)


@given(st.binary(max_size=300))
@example(b'"' + b'\\"' * 1000)
@example(b'{"verb": "a", "args": ' + b'"' * 3)
@example(b"\xff\xfe")
@example(b"1" * 5000)
@example(b'"\\ud800"')
def test_garbage_is_a_clear_error_and_nothing_else(garbage: bytes) -> None:
    try:
        said = protocol.parse_request(garbage).verb
    except ControlError as error:
        said = str(error)
        is_one_line = "\n" not in said
    else:
        is_one_line = True
    assert said
    assert is_one_line


@given(st.text(alphabet='[]{}",:\\ a1', max_size=16))
def test_what_json_takes_is_taken_unless_a_key_appears_twice(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ControlError):
            protocol.decode(text.encode())
        return
    try:
        value = protocol.decode(text.encode())
    except ControlError as error:
        value, expected = str(error), "the frame is not valid JSON: a key appears twice in one object"
    assert value == expected


def test_sixteen_levels_are_allowed_and_seventeen_are_not() -> None:
    assert protocol.decode(nested(16)) is not None
    with pytest.raises(ControlError, match="deeper than 16"):
        protocol.decode(nested(17))


def test_a_bomb_of_brackets_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", None)
    with pytest.raises(ControlError, match="deeper"):
        protocol.decode(b"[" * protocol.MAX_REQUEST_BYTES)


def test_brackets_within_strings_are_no_nesting() -> None:
    value = ["[" * 100, '\\"[[{{' * 30]
    assert protocol.decode(body(value)) == value


def test_a_frame_beyond_the_limit_is_refused_by_its_length_alone() -> None:
    header = (protocol.MAX_REQUEST_BYTES + 1).to_bytes(4, "big")
    with pytest.raises(ControlError, match="65537 bytes; at most 65536"):
        protocol.body_bytes(header, protocol.MAX_REQUEST_BYTES)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "JSON object"),
        ({}, "needs a verb"),
        ({"verb": ""}, "needs a verb"),
        ({"verb": 3}, "needs a verb"),
        ({"verb": "status", "args": []}, "args are a JSON object"),
        ({"verb": "status", "args": None}, "args are a JSON object"),
        ({"verb": "status", "id": 1.5}, "id is a text"),
        ({"verb": "status", "id": True}, "id is a text"),
        ({"verb": "status", "arguments": {}}, "no field 'arguments'"),
    ],
)
def test_a_request_of_the_wrong_form_is_told_what_is_wrong(value: Any, reason: str) -> None:
    with pytest.raises(ControlError, match=reason):
        protocol.parse_request(body(value))


@pytest.mark.parametrize(
    "text", [b"NaN", b"[Infinity]", b"-Infinity", b'{"a": 1, "a": 2}', b'"\\udc80"', b"", b"1e999"]
)
def test_what_is_not_plain_json_is_refused(text: bytes) -> None:
    with pytest.raises(ControlError, match="not valid JSON"):
        protocol.decode(text)


def test_an_answer_gives_its_result() -> None:
    message = protocol.result_message({"a": [1, None]}, 7)
    assert message["id"] == 7
    assert protocol.parse_answer(body(message)) == {"a": [1, None]}


def test_an_error_answer_raises_its_line_and_remedy() -> None:
    message = protocol.error_message(ControlError("there is no job x", remedy="Look at jobs"), None)
    with pytest.raises(ControlError) as caught:
        protocol.parse_answer(body(message))
    assert caught.value.line() == "there is no job x. Look at jobs"


@pytest.mark.parametrize("value", [None, [], {}, {"ok": True}, {"ok": 1, "result": 2}, {"ok": False}])
def test_an_answer_that_makes_no_sense_says_so(value: Any) -> None:
    with pytest.raises(ControlError, match="makes no sense"):
        protocol.parse_answer(body(value))


def test_a_result_that_json_cannot_hold_is_refused_when_framed() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        protocol.frame(protocol.result_message(float("nan"), None))
