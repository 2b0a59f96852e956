"""What the tracker keeps in a real browser: events that were not acknowledged, and under which names."""

from tests.browser.conftest import FULL, Reader


def test_no_other_site_has_the_keys_of_a_site(reader: Reader) -> None:
    page = reader.open()
    reader.expect_views(1)
    keys = page.evaluate("Object.keys(localStorage)")
    assert sorted(keys) == [f"truycap-{reader.site}.{end}" for end in ("", "1", "2")]  # no id has a dot


def test_what_was_not_acknowledged_is_sent_again_with_its_id_when_the_network_is_back(reader: Reader) -> None:
    page = reader.open("/mang")
    reader.expect_views(1)
    reader.context.set_offline(True)
    page.evaluate("history.pushState({}, '', '/mang/hai')")
    reader.wait_until(lambda: page.evaluate(reader.kept), "an event is kept")
    reader.context.set_offline(False)
    reader.expect_views(2)
    first, again = reader.of_type("pageview")[1:]
    assert (first["id"], again["attempt"]) == (again["id"], 1)
    assert page.evaluate(reader.kept) == []


def test_of_an_event_whose_answer_was_lost_only_one_is_counted(reader: Reader) -> None:
    page = reader.context.new_page()
    lost: list[str] = []

    def lose(route: object) -> None:
        if not lost:
            lost.append(route.fetch().text())  # type: ignore[attr-defined]
            route.abort()  # type: ignore[attr-defined]
        else:
            route.continue_()  # type: ignore[attr-defined]

    page.route("**/v1/events", lose)
    page.goto(reader.add())
    reader.wait_until(lambda: lost, "an answer is lost")
    reader.wait_until(lambda: page.evaluate(reader.kept + "[0]?.due === true"), "it is due")
    reader.pause(1)
    page.reload()
    reader.expect_views(2)
    reader.wait_until(lambda: [event.get("attempt") for event in reader.of_type("pageview")].count(1) == 1, "a resend")
    reader.expect_views(2)


def test_at_most_fifty_wait_and_none_longer_than_a_day(reader: Reader) -> None:
    page = reader.open()
    reader.expect_views(1)
    reader.context.set_offline(True)
    page.evaluate("for (let i = 0; i < 60; i++) truycap.rate(1 + (i % 5), { item: `/bai/${i}` })")
    kept = reader.kept
    reader.wait_until(lambda: page.evaluate(f"{kept}.filter(({{ due }}) => due === true).length") == 50, "50 wait")
    assert page.evaluate(f"{kept}[0].item") == "/bai/10"
    older = f"JSON.stringify({kept}.map((event) => ({{ ...event, born: event.born - 864e5 }})))"
    page.evaluate(f"localStorage['truycap-{reader.site}.1'] = {older}")
    reader.context.set_offline(False)
    page.evaluate("truycap.rate(4, { item: '/bai/moi' })")
    reader.wait_until(lambda: reader.item("/bai/moi")["rating"]["votes"] == 1, "the new vote")
    assert page.evaluate(kept) == []
    assert reader.item("/bai/59")["rating"]["votes"] == 0


def test_where_storage_is_full_it_counts_as_well(reader: Reader) -> None:
    reader.context.add_init_script(FULL)
    page = reader.open("/day")
    reader.expect_views(1)
    for store in ("localStorage", "sessionStorage"):
        assert page.evaluate(f"try {{ {store}.x = 'x'.repeat(99); 'room' }} catch {{ 'full' }}") == "full"


def test_a_newer_vote_takes_the_place_of_one_that_waits(reader: Reader) -> None:
    page = reader.open()
    reader.expect_views(1)
    reader.context.set_offline(True)
    page.evaluate("truycap.rate(1)")
    page.evaluate("truycap.rate(5)")
    kept = reader.kept
    reader.wait_until(
        lambda: page.evaluate(f"{kept}.map(({{ due, score }}) => [due, score])") == [[True, 5]], "one vote waits"
    )
    reader.context.set_offline(False)
    reader.wait_until(lambda: reader.item("/bai")["rating"]["points"] == 5, "the vote")
