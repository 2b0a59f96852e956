"""What a URL names: the item, in one spelling, and the host."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.events import host_of, item_of

ANY_TEXT = st.text(st.characters())  # with lone surrogates
URLS = st.builds(
    "{}{}{}".format, st.sampled_from(["", "/", "//", "https://a.vn", "http://[", "a:"]), ANY_TEXT, ANY_TEXT
)
PATHS = st.text("/%aA0-.~ ?#é\ud800é\x00;:@", max_size=12)


@pytest.mark.parametrize(
    ("url", "item"),
    [
        ("https://a.vn/tin-tuc/?p=1", "/tin-tuc/"),
        ("https://a.vn/tin-tuc#top", "/tin-tuc"),
        ("https://a.vn/a#b?c", "/a"),
        ("https://a.vn", "/"),
        ("https://a.vn?p=1", "/"),
        ("/tin-tuc/", "/tin-tuc/"),
        ("/tin-tuc?p=1#x", "/tin-tuc"),
        ("tin-tuc", "/tin-tuc"),
        ("", "/"),
        ("#", "/"),
        ("https://a.vn/Tin/A;b=1", "/Tin/A;b=1"),
        # RFC 3986, 6.2.2: letters, digits and -._~ never percent-encoded, all else in capitals
        ("https://a.vn/tin%2dtuc/%41%7E", "/tin-tuc/A~"),
        ("https://a.vn/ti%e1%ba%bfng", "/ti%E1%BA%BFng"),
        ("https://a.vn/tiếng", "/ti%E1%BA%BFng"),
        ("https://a.vn/a b", "/a%20b"),
        ("https://a.vn/a%20b", "/a%20b"),
        ("https://a.vn/a%2fb", "/a%2Fb"),
        ("https://a.vn/a%3Fb%23c", "/a%3Fb%23c"),
        ("https://a.vn/100%", "/100%25"),
        ("https://a.vn/100%25", "/100%25"),
        ("https://a.vn/%252F", "/%252F"),
        ("/a\x00b", "/a%00b"),
        # a second slash makes no host of a path
        ("https://a.vn//tin/moi", "//tin/moi"),
        ("//tin/moi", "//tin/moi"),
    ],
)
def test_an_item_is_the_path_in_one_spelling(url: str, item: str) -> None:
    assert item_of(url) == item


@given(URLS | PATHS)
@example("//a//b")
@example("/%\ud8001%2%35")
def test_an_item_of_any_text_is_a_path_that_names_itself(text: str) -> None:
    item = item_of(text)
    assert item.startswith("/")
    assert item.isascii()
    assert item.isprintable()
    assert item_of(item) == item
    assert item_of(f"https://portal.example.vn{item}") == item


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Portal.Example.VN:8443/a", "portal.example.vn"),
        ("https://user:word@portal.example.vn/", "portal.example.vn"),
        ("http://[2001:DB8::1]:80/", "2001:db8::1"),
        ("/tin-tuc", ""),
        ("null", ""),
        ("", ""),
        ("http://[", ""),
        ("http://℀.vn/", ""),
        ("file:///etc/passwd", ""),
    ],
)
def test_a_host_is_in_lower_case_without_port(url: str, host: str) -> None:
    assert host_of(url) == host


@given(URLS)
def test_a_host_of_any_text_never_raises(text: str) -> None:
    assert "/" not in host_of(text)
