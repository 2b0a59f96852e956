"""Whose address counts: X-Forwarded-For is believed where a trusted proxy wrote it, and as far as it wrote it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.collect import Addresses
from shared.errors import SetupError

TRUSTED = Addresses("10.0.0.0/8, 127.0.0.1, ::1, 2001:db8:a::/48")


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        ("198.51.100.7:443", "", "198.51.100.7"),
        ("[2001:db8::7]:443", "", "2001:db8::7"),
        ("127.0.0.1:443", "", "127.0.0.1"),
        # a client that nobody trusts may say what it likes
        ("198.51.100.7:443", "192.0.2.1", "198.51.100.7"),
        ("[2001:db8::7]:443", "192.0.2.1", "2001:db8::7"),
        # a proxy
        ("127.0.0.1:443", "192.0.2.1", "192.0.2.1"),
        ("[::1]:443", "2001:db8::9", "2001:db8::9"),
        ("[2001:db8:a::5]:443", " 192.0.2.1 ", "192.0.2.1"),
        # a chain of proxies: the last that is not ours
        ("127.0.0.1:443", "192.0.2.1, 10.1.1.1, 10.2.2.2", "192.0.2.1"),
        ("127.0.0.1:443", "192.0.2.1,198.51.100.7, 10.2.2.2", "198.51.100.7"),
        ("127.0.0.1:443", "10.9.9.9, 10.2.2.2", "10.9.9.9"),
        # spoofed: what the client wrote stands before what the proxy appended
        ("127.0.0.1:443", "10.0.0.1, 192.0.2.1", "192.0.2.1"),
        ("127.0.0.1:443", "127.0.0.1, ::1, 192.0.2.1", "192.0.2.1"),
        ("127.0.0.1:443", "192.0.2.66, garbage, 192.0.2.1", "192.0.2.1"),
        # an unknown hop ends the chain
        ("127.0.0.1:443", "192.0.2.1, unknown", "unknown"),
        ("127.0.0.1:443", "192.0.2.1, ", ""),
        # some proxies write the port, too
        ("127.0.0.1:443", "192.0.2.1:50123", "192.0.2.1"),
        ("127.0.0.1:443", "[2001:db8::9]:50123", "2001:db8::9"),
        ("127.0.0.1:443", "[2001:db8::9]", "2001:db8::9"),
        # a socket for both versions shows IPv4 as IPv6
        ("[::ffff:127.0.0.1]:443", "192.0.2.1", "192.0.2.1"),
        ("[::ffff:198.51.100.7]:443", "", "198.51.100.7"),
        ("127.0.0.1:443", "192.0.2.1, ::ffff:10.2.2.2", "192.0.2.1"),
    ],
)
def test_the_address_is_the_last_that_no_trusted_proxy_has(client: str, forwarded: str, address: str) -> None:
    assert TRUSTED.of(client, forwarded) == address


def test_nobody_may_be_trusted() -> None:
    assert Addresses("").of("127.0.0.1:443", "192.0.2.1") == "127.0.0.1"


def test_what_is_no_network_is_a_setup_error() -> None:
    with pytest.raises(SetupError, match=r"TRUYCAP_TRUSTED_PROXIES='10\.0\.0\.0/8,proxy': 'proxy'"):
        Addresses("10.0.0.0/8,proxy")


@given(st.text(), st.text())
def test_no_header_raises(client: str, forwarded: str) -> None:
    TRUSTED.of(client, forwarded)
    TRUSTED.of("127.0.0.1:443", forwarded)


@given(st.text("0123456789abcdef:., []"))
def test_an_appended_address_cannot_be_talked_over(forwarded: str) -> None:
    assert TRUSTED.of("127.0.0.1:443", f"{forwarded},192.0.2.1") == "192.0.2.1"
