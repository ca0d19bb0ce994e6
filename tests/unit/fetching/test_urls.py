from __future__ import annotations

import pytest

from illmrec.fetching.failures import RefusedError
from illmrec.fetching.urls import Policy, follow_redirect, parse_url

STRICT = Policy()


@pytest.mark.parametrize(
    "text",
    [
        "http://example.com/a.jpg",
        "file:///etc/passwd",
        "ftp://example.com/a.jpg",
        "data:image/png;base64,AAAA",
        "gopher://example.com/",
        "javascript:alert(1)",
        "//example.com/a.jpg",
        "example.com/a.jpg",
        "https://user:secret@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com:22/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://[::1%25lo]/",
        "https://[v1.a]/",
        "https://[::1/",
        "https://ex\u0430mple.com/",
        "https://127。0。0。1/",
        "https://exa%6dple.com/",
        "https://example.com\\@127.0.0.1/",
        "https://exam\tple.com/",
        "https://example.com/\r\nHost: other",
        "https:///a.jpg",
        "https://-a.com/",
        "https://a..com/",
        "https://example.com./",
        "https://example.com/" + "a" * 5000,
        "",
    ],
)
def test_addresses_that_are_not_plainly_ordinary_are_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        parse_url(text, STRICT)


def test_a_secret_in_an_address_is_not_repeated() -> None:
    with pytest.raises(RefusedError) as error:
        parse_url("https://user:secret@example.com/", STRICT)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://Example.COM", "https://example.com/"),
        (" https://example.com/a b.jpg ", "https://example.com/a%20b.jpg"),
        ("https://example.com/caf\u00e9.jpg?x=\u00e9&y=1#top", "https://example.com/caf%C3%A9.jpg?x=%C3%A9&y=1"),
        ("https://example.com/I/51%2BQ._SX38_,0.jpg", "https://example.com/I/51%2BQ._SX38_,0.jpg"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("https://93.184.216.34/a", "https://93.184.216.34/a"),
        ("https://[2606:2800:220:1::1]/a", "https://[2606:2800:220:1::1]/a"),
        ("https://images_1.example.com/a", "https://images_1.example.com/a"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://example.com?q=1", "https://example.com/?q=1"),
    ],
)
def test_ordinary_addresses_are_taken_and_encoded(text: str, url: str) -> None:
    assert parse_url(text, STRICT).url == url


def test_what_the_user_allows_is_allowed_and_nothing_else() -> None:
    policy = Policy(allow_http=True, private_hosts=frozenset({"mirror"}), endpoints=frozenset({("cdn.example", 8443)}))
    assert parse_url("http://mirror:8080/a", policy).authority == "mirror:8080"
    assert parse_url("https://cdn.example:8443/", policy).port == 8443
    for text in ("https://other.example:8443/", "https://cdn.example:8080/"):
        with pytest.raises(RefusedError, match="port"):
            parse_url(text, policy)


def test_redirects_are_judged_like_addresses() -> None:
    policy = Policy(allow_http=True)
    base = parse_url("https://example.com/a/b.jpg", policy)
    assert follow_redirect(base, "../c.jpg", policy).url == "https://example.com/c.jpg"
    assert follow_redirect(base, "//cdn.example/c.jpg", policy).url == "https://cdn.example/c.jpg"
    for location in ("http://example.com/", "file:///etc/passwd", "https://0x7f.1/", "https://a\r\nb/"):
        with pytest.raises(RefusedError):
            follow_redirect(base, location, policy)
