"""Profiles: what is checked when one is loaded, and how a fault is named."""

from importlib import resources
from pathlib import Path

import pytest

from orchestrator.errors import ProfileError
from orchestrator.settings import Settings
from orchestrator.sites import load_profile
from orchestrator.sites.profile import bundled_profiles
from orchestrator.wiring import make_profiles

TEXT = (resources.files("orchestrator.sites") / "profiles" / "microblog.toml").read_text("utf-8")


def refused(tmp_path: Path, old: str, new: str) -> str:
    """The error for the bundled profile with a part of it replaced."""
    assert old in TEXT
    path = tmp_path / "site.toml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ProfileError) as caught:
        load_profile(str(path))
    return str(caught.value).replace(str(path), "site.toml")


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(TEXT.splitlines(), 1) if line.startswith(text))


def test_every_bundled_profile_is_valid() -> None:
    assert "microblog" in bundled_profiles()
    for name in bundled_profiles():
        assert load_profile(name).site.name == name


def test_a_profile_is_also_taken_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    assert load_profile(str(path)) == load_profile("microblog")


def test_another_base_address_moves_paths_and_hosts() -> None:
    profile = load_profile("microblog", "http://[::1]:9000/")
    assert profile.hosts == {"[::1]:9000"}
    assert profile.url(profile.post.path, reference="a/b") == "http://[::1]:9000/post/a%2Fb"
    assert profile.url(profile.timeline.path, username="ada") == "http://[::1]:9000/@ada"


def test_the_default_port_counts_as_the_addresss_own(tmp_path: Path) -> None:
    assert load_profile("microblog", "https://example.org").hosts == {"example.org:443"}


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "example.org",
        "ftp://example.org",
        "http://a@b",
        "http://a/?q",
        "http://a b",
        " http://a",
        "http://a\n",
        "http://a/ ",
        "http://a/blog",
        "http://a//b",
    ],
)
def test_a_base_address_that_is_none_is_named(base_url: str) -> None:
    with pytest.raises(ProfileError, match="base_url"):
        load_profile("microblog", base_url)


def test_an_unknown_key_is_named_with_its_line(tmp_path: Path) -> None:
    error = refused(tmp_path, "max_chars = 280", "max_char = 280")
    assert error == f"site.toml, line {line_of('max_chars')}: compose.max_char: unknown key"


def test_an_unknown_section_is_named_with_its_line(tmp_path: Path) -> None:
    error = refused(tmp_path, "[profile]", "[profil]")
    assert error == f"site.toml, line {line_of('[profile]')}: profil: unknown key"


def test_a_missing_key_is_named_with_the_line_of_its_section(tmp_path: Path) -> None:
    error = refused(tmp_path, 'likes = "[data-count=likes]"\n', "")
    assert error == f"site.toml, line {line_of('[post]')}: post.likes: missing"


def test_all_that_is_wrong_is_told_a_line_each(tmp_path: Path) -> None:
    error = refused(tmp_path, 'likes = "[data-count=likes]"', 'liks = "[data-count=likes]"')
    assert error.splitlines() == [
        f"site.toml, line {line_of('[post]')}: post.likes: missing",
        f"site.toml, line {line_of('likes =')}: post.liks: unknown key",
    ]


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    section = TEXT[TEXT.index("[timeline]") : TEXT.index("[profile]")]
    assert refused(tmp_path, section, "") == "site.toml, line 1: timeline: missing"


def test_a_bad_selector_is_named_with_its_line_and_place(tmp_path: Path) -> None:
    error = refused(tmp_path, 'views = "[data-count=views]"', 'views = "[data-count=views"')
    assert error.startswith(f"site.toml, line {line_of('views')}: post.views.selector: the selector")


def test_a_file_that_is_no_toml_is_named_with_its_line(tmp_path: Path) -> None:
    assert "site.toml: not TOML:" in (error := refused(tmp_path, "max_chars = 280", "max_chars 280"))
    assert f"line {line_of('max_chars')}" in error


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('path = "/post/{reference}"', 'path = "/post/{ref}"', "must have {reference}"),
        ('path = "/post/{reference}"', 'path = "post/{reference}"', "must begin with /"),
        ('path = "/sign-in"', 'path = "/{username}"', "must have no placeholder"),
        ('path = "/@{username}"', 'path = "/@{username"', "path"),
        ('reference = { attribute = "data-ref" }', "reference = {}", "name a selector, an attribute or both"),
        ('reference = "[a-z0-9]{4,40}"', 'reference = "["', "no regular expression"),
        ('base_url = "http://127.0.0.1:8701"', 'base_url = "nowhere"', "is not an address"),
        ('complete = "body > footer"', 'hosts = ["a,b"]', "is not a host"),
        ("max_chars = 280", "max_chars = 0", "greater than or equal to 1"),
        ('selector = "[data-testid=accepted] article.post", ', 'url = "x", selector = "a", ', "exactly one"),
        (
            'selector = "[data-testid=accepted] article.post", attribute = "data-ref"',
            'url = "x"',
            "exactly one group",
        ),
        (
            'path = "/post/{reference}"',
            'path = "/post/{reference:d}"',
            "nothing but a name in curly brackets",
        ),
        (
            'path = "/post/{reference}"',
            'path = "/post/{reference!z}"',
            "nothing but a name in curly brackets",
        ),
        ('path = "/post/{reference}"', 'path = "/post/{reference.x}"', "must have {reference}"),
        ('base_url = "http://127.0.0.1:8701"', 'base_url = "http://a/blog"', "has a path"),
        ('reference = "[a-z0-9]{4,40}"', 'reference = "[a-z0-9]*"', "also fits an empty text"),
        (
            'likes = "[data-count=likes]"',
            "likes = { selector = 'b', pattern = '(\\d*)' }",
            "fits an empty text",
        ),
        (
            'attribute = "data-ref" }\nrefused',
            'attribute = "data ref" }\nrefused',
            "compose.reference.attribute: String should match",
        ),
        (
            'selector = "[data-testid=accepted] article.post", attribute = "data-ref"',
            "url = '/post/(.+)', attribute = \"data-ref\"",
            "attribute and pattern belong to a selector",
        ),
        (
            'selector = "[data-testid=accepted] article.post", attribute = "data-ref"',
            "url = '/post/(.+)', pattern = '(.+)'",
            "attribute and pattern belong to a selector",
        ),
        (
            'accepted = "[data-testid=accepted] article.post[data-ref]"',
            'accepted = "p.error#refusal"',
            "compose: accepted, refused: each needs a selector of its own",
        ),
        (
            "signed_out = \"header a[href^='/sign-in']\"",
            'signed_out = "header [data-testid=me]"',
            "sign_in: signed_in, signed_out, refused: each needs",
        ),
        ("item = \"article.post[data-ref='{reference}']\"", 'item = "a >"', "no CSS"),
    ],
)
def test_a_bad_value_is_named_with_its_reason(tmp_path: Path, old: str, new: str, reason: str) -> None:
    error = refused(tmp_path, old, new)
    assert reason in error
    assert "line " in error


def test_a_profile_that_waits_longer_than_a_visit_may_take_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(TEXT.replace("max_chars = 280", "max_chars = 280\nanswer_within_s = 31"))
    load_profile(str(path))
    load_profile(str(path), visit_timeout_s=31)
    with pytest.raises(ProfileError) as caught:
        load_profile(str(path), visit_timeout_s=30)
    line = line_of("max_chars") + 1
    assert str(caught.value).startswith(f"{path}, line {line}: compose.answer_within_s: 31 is above")


def test_a_profile_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="'nowhere' can't be read") as caught:
        load_profile("nowhere")
    assert "microblog" in caught.value.remedy
    with pytest.raises(ProfileError, match="can't be read"):
        load_profile(str(tmp_path))
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ProfileError, match="not UTF-8"):
        load_profile(str(tmp_path / "bad.toml"))


def test_the_sites_profiles_are_held_against_the_longest_visit(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(TEXT.replace("max_chars = 280", "answer_within_s = 31"))
    account = {"name": "ada", "site": "mine", "username": "ada", "password": "pass-of-nobody"}
    given = {"sites": {"mine": {"profile": str(path)}}, "accounts": [account]}
    with pytest.raises(ProfileError, match=r"above browser\.visit_timeout_s"):
        make_profiles(Settings.load(overrides=given, environ={}))
    assert make_profiles(Settings.load(overrides={**given, "browser": {"visit_timeout_s": 40}}, environ={}))
