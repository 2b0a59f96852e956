"""The stars, in a real Chromium: whose article and site a vote is for, what is said of it, where it is kept."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import FULL, Reader


def test_a_vote_that_is_refused_is_not_said_to_be_kept(reader: Reader) -> None:
    page = reader.context.new_page()
    page.goto(reader.add("/la", "<truycap-rating></truycap-rating>", "widget.js").replace("127.0.0.1", "localhost"))
    stars = page.get_by_role("radio")
    for _ in range(2):
        expect(stars).to_have_count(5)
        expect(page.locator("truycap-rating p:visible, truycap-rating :checked")).to_have_count(0)
        with page.expect_response(lambda answer: '"rating"' in (answer.request.post_data or "")) as vote:
            stars.nth(3).click()
        assert vote.value.status == 403
        reader.pause(0.2)
        expect(page.locator("truycap-rating p:visible")).to_have_count(0)
        page.reload()


class TestTheRating:
    def test_is_a_group_of_radio_buttons_whose_vote_can_be_changed(self, reader: Reader) -> None:
        page = reader.open("/tin", "<truycap-rating></truycap-rating>", "widget.js")
        group = page.get_by_role("group", name="Click để đánh giá bài viết")
        stars = group.get_by_role("radio")
        expect(stars).to_have_count(5)
        group.get_by_role("radio", name="Bài viết tốt").click()
        expect(group).to_contain_text("Tổng số điểm của bài viết là: 4 trong 1 đánh giá")
        expect(page.get_by_role("status")).to_have_text("Bạn đã đánh giá bài viết này rồi", use_inner_text=True)
        stars.nth(1).click()
        expect(group).to_contain_text("Tổng số điểm của bài viết là: 2 trong 1 đánh giá")
        group.get_by_text("Xếp hạng: 2,0").click()
        expect(group).to_contain_text("2 ★ 1")
        page.reload()
        expect(stars.nth(1)).to_be_checked()
        expect(page.get_by_role("status")).to_have_text("Bạn đã đánh giá bài viết này rồi", use_inner_text=True)
        linked = page.locator("head script[type='application/ld+json']").text_content() or ""
        assert '"ratingValue": 2.0' in linked

    def test_stays_with_the_article_that_it_was_made_for(self, reader: Reader) -> None:
        page = reader.open("/art/1", "<truycap-rating></truycap-rating>", "widget.js")
        expect(page.get_by_role("radio")).to_have_count(5)
        page.evaluate("history.pushState({}, '', '/art/2')")
        page.get_by_role("radio").nth(4).click()
        expect(page.locator("truycap-rating")).to_contain_text("5 trong 1 đánh giá")
        assert reader.item("/art/1")["rating"]["points"] == 5

    def test_is_for_the_site_of_its_script(self, reader: Reader, sites: Iterator[str]) -> None:
        other = next(sites)
        page = reader.open("/chung", "<truycap-rating></truycap-rating>", "widget.js")
        expect(page.get_by_role("radio")).to_have_count(5)
        page.evaluate(
            """([src, site]) => {
              const script = document.createElement('script');
              Object.assign(script, { src }).dataset.site = site;
              document.head.append(script);
            }""",
            [f"{reader.up.url}/t.js", other],
        )
        reader.wait_until(
            lambda: reader.up.get(f"/v1/sites/{other}/counts")["pageviews"]["total"] == 1, "the other site's page view"
        )
        page.get_by_role("radio").nth(4).click()
        reader.wait_until(lambda: reader.item("/chung")["rating"]["points"] == 5, "the vote")

    def test_of_another_article_than_the_page(self, reader: Reader) -> None:
        page = reader.open("/muc", '<truycap-rating path="/tin/mot"></truycap-rating>', "widget.js")
        page.get_by_role("radio").nth(4).click()
        reader.wait_until(lambda: reader.item("/tin/mot")["rating"]["points"] == 5, "the vote")

    @pytest.mark.parametrize("path", ["/tin/a&b.html", "/tin/a+b.html", "/tin/a%26b%23c", "/tin/bài viết"])
    def test_of_an_address_with_any_characters(self, reader: Reader, path: str) -> None:
        page = reader.context.new_page()
        elements = "<truycap-views></truycap-views><truycap-rating></truycap-rating>"
        page.goto(reader.add(quote(path, safe="/&+%"), elements, "widget.js"))
        page.get_by_role("radio").nth(3).click()
        reader.wait_until(lambda: reader.item(path)["rating"]["votes"] == 1, "the vote")
        page.reload()
        expect(page.locator("truycap-rating")).to_contain_text("4 trong 1 đánh giá")
        expect(page.locator("truycap-views data")).to_have_text(re.compile("[12]"))  # a quick reload is the same view

    def test_where_storage_is_full(self, reader: Reader) -> None:
        reader.context.add_init_script(FULL)
        page = reader.open("/tin", "<truycap-rating></truycap-rating>", "widget.js")
        page.get_by_role("radio").nth(2).click()
        reader.wait_until(lambda: reader.item("/tin")["rating"]["points"] == 3, "the vote")

    def test_where_storage_is_blocked(self, reader: Reader) -> None:
        reader.context.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error() } })")
        page = reader.open("/tin", "<truycap-rating></truycap-rating>", "widget.js")
        page.get_by_role("radio").nth(2).click()
        reader.wait_until(lambda: reader.item("/tin")["rating"]["points"] == 3, "the vote")
