"""truycap.toml: what a good one says, and that a broken one names the line and what is allowed there."""

import re
from datetime import date
from pathlib import Path

import pytest

from shared.errors import SetupError, UnknownSiteError
from shared.sites import Opening, Site, Sites, load_sites, parse_sites, shard_of

GOOD = """
# id = "this is a comment"
[[site]]
id = "caobang"
hostnames = ["portal.example.vn", "WWW.example.vn"]
timezone = "America/New_York"
language = "en"
public = false
opening = { visits = 8390768, pageviews = 9000000, as_of = 2019-07-25 }

[[site]]
id = "demo"
hostnames = ["*"]
"""


def refused(text: str) -> str:
    with pytest.raises(SetupError) as caught:
        parse_sites(text, "truycap.toml")
    return caught.value.message


def test_a_good_file_says_all_of_a_site() -> None:
    caobang, demo = parse_sites(GOOD, "truycap.toml")
    assert caobang == Site(
        id="caobang",
        hostnames=["portal.example.vn", "WWW.example.vn"],
        timezone="America/New_York",
        language="en",
        public=False,
        opening=Opening(visits=8390768, pageviews=9000000, as_of=date(2019, 7, 25)),
    )
    assert (demo.timezone, demo.language, demo.public, demo.opening) == ("Asia/Ho_Chi_Minh", "vi", True, Opening())


def test_a_site_allows_its_hosts_in_any_case_and_a_star_all() -> None:
    caobang, demo = parse_sites(GOOD, "truycap.toml")
    assert [caobang.allows(host) for host in ("portal.example.vn", "www.example.vn", "example.vn", "")] == [
        True,
        True,
        False,
        False,
    ]
    assert demo.allows("anything.example")


def test_a_file_without_sites_is_good() -> None:
    assert parse_sites("", "truycap.toml") == []


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (GOOD + 'hostname = ["a"]\n', 14, ["'hostname'", "did you mean 'hostnames'?", "allowed: id, hostnames"]),
        (GOOD + '"time-zone" = "UTC"\n', 14, ["'time-zone'", "did you mean 'timezone'?"]),
        (GOOD + "colour = 1\n", 14, ["'colour'; allowed: id, hostnames"]),
        (GOOD + "# colour = 1\ncolour = 1\n", 15, ["'colour'"]),
        ('redis_url = "x"\n' + GOOD, 1, ["'redis_url'", "allowed here: [[site]]"]),
        ('\n[[sites]]\nid = "a"\n', 2, ["'sites'", "allowed here: [[site]]"]),
        ('\n[site]\nid = "a"\n', 2, ["[[site]]", "double brackets"]),
        (GOOD + '[[site]]\nid = "demo"\nhostnames = ["*"]\n', 15, ["'demo'", "twice"]),
        (GOOD.replace("America/New_York", "Asia/Hanoi"), 6, ["timezone", "'Asia/Hanoi'", "'Asia/Ho_Chi_Minh'"]),
        (GOOD.replace("America/New_York", "Asia"), 6, ["timezone", "'Asia'"]),
        (GOOD.replace("America/New_York", ""), 6, ["timezone", "''"]),
        (GOOD.replace('["*"]', "[]"), 13, ["hostnames", "at least one", '["*"]']),
        (GOOD.replace('["*"]', '"*"'), 13, ["hostnames", "array", "str"]),
        (GOOD.replace('["*"]', '["https://a.vn/"]'), 13, ["'https://a.vn/'", "without scheme, port or path"]),
        (GOOD.replace('["*"]', '["a.vn:8080"]'), 13, ["'a.vn:8080'", "without scheme, port or path"]),
        (GOOD.replace('"demo"', '"Demo site"'), 12, ["'Demo site'", "small letters, digits"]),
        (GOOD.replace('"demo"', f'"{"d" * 64}"'), 12, ["1 to 63"]),
        (GOOD.replace('id = "demo"', ""), 11, ["required field `id`"]),
        (GOOD.replace('"en"', '"fr"'), 7, ["language", "'fr'", "allowed: vi, en"]),
        (GOOD.replace("false", '"no"'), 8, ["public", "bool"]),
        (GOOD.replace("{ visits", "{ visit"), 9, ["'visit'", "did you mean 'visits'?", "visits, pageviews, as_of"]),
        (GOOD.replace("8390768", "-1"), 9, ["visits", ">= 0"]),
        (GOOD + '[site.opening]\nvisits = "many"\n', 15, ["visits", "int"]),
        (GOOD.replace("2019-07-25", '"soon"'), 9, ["as_of", "date"]),
        (GOOD.replace("[[site]]\nid", "[[site\nid"), 3, ["not valid TOML"]),
        (GOOD.replace("public = false", "public = no"), 8, ["not valid TOML"]),
    ],
)
def test_a_broken_file_names_the_line_and_what_is_allowed(text: str, line: int, said: list[str]) -> None:
    message = refused(text)
    assert message.startswith("truycap.toml")
    assert re.findall(r"line (\d+)", message) == [str(line)]
    assert [part for part in said if part not in message] == []
    assert "\n" not in message


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    missing, binary = tmp_path / "missing.toml", tmp_path / "binary.toml"
    binary.write_bytes(b"id = '\xff'")
    for path, said in ((missing, "No such file"), (binary, "not UTF-8")):
        with pytest.raises(SetupError, match=said) as caught:
            load_sites(path)
        assert str(path) in caught.value.message
        assert caught.value.exit_code == 2


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "truycap.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert [site.id for site in load_sites(path)] == ["caobang", "demo"]


def test_a_site_stays_on_its_shard_for_ever() -> None:
    """Pinned: another answer would part a site from all that it has counted."""
    assert [shard_of(site, 16) for site in ("demo", "caobang", "a", "tin-tuc_2")] == [0, 8, 3, 4]
    assert {shard_of(f"site-{number}", 4) for number in range(50)} == {0, 1, 2, 3}
    assert shard_of("demo", 1) == 0


def test_the_sites_are_found_by_id() -> None:
    sites = Sites(parse_sites(GOOD, "truycap.toml"), shards=16)
    assert sites.find("demo").hostnames == ["*"]
    assert sites.shard("demo") == shard_of("demo", 16)
    with pytest.raises(UnknownSiteError, match="'nowhere'"):
        sites.find("nowhere")
