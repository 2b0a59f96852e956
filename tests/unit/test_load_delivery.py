"""What a reader of the load does with an event: until it is acknowledged, or known to be unsure."""

from random import Random

import msgspec
import pytest

from tests.load.client import Answer
from tests.load.delivery import deliver
from tests.load.tally import Tally

HEADERS = "User-Agent: a browser\r\n"
EVENT = {"id": "01J00000000000000000000000", "type": "pageview"}


class Ingest:
    """Answers with these statuses, one after the other; 0 is no answer."""

    def __init__(self, *statuses: int) -> None:
        self.left = iter(statuses)
        self.sent: list[dict[str, object]] = []

    def post(self, body: bytes) -> Answer:
        self.sent.append(msgspec.json.decode(body))
        return Answer(next(self.left))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("gevent.sleep", slept.append)
    return slept


def test_an_event_is_sent_with_its_id_until_it_is_acknowledged(pauses: list[float]) -> None:
    ingest, tally = Ingest(503, 0, 202), Tally()
    deliver(ingest.post, EVENT, HEADERS, tally, Random(1))
    assert (tally.acknowledged, tally.views, tally.unsure) == (1, 1, [])
    assert ingest.sent == [EVENT, EVENT | {"attempt": 1}, EVENT | {"attempt": 2}]
    assert len(pauses) == 2


def test_what_is_no_page_view_by_a_person_is_no_view() -> None:
    tally = Tally()
    deliver(Ingest(202).post, EVENT, "", tally, Random(1))
    assert (tally.acknowledged, tally.views) == (1, 0)


@pytest.mark.usefixtures("pauses")
def test_what_never_is_acknowledged_is_unsure() -> None:
    ingest, tally = Ingest(*[503] * 50), Tally()
    deliver(ingest.post, EVENT, HEADERS, tally, Random(1))
    assert 1 < len(ingest.sent) < 50
    assert (tally.acknowledged, tally.views) == (0, 0)
    assert tally.unsure == [(HEADERS, EVENT)]


def test_the_page_view_of_a_reader_who_leaves_meanwhile_is_unsure(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(_: float) -> None:
        raise SystemExit

    monkeypatch.setattr("gevent.sleep", leave)
    tally = Tally()
    with pytest.raises(SystemExit):
        deliver(Ingest(0).post, EVENT, HEADERS, tally, Random(1))
    assert tally.unsure == [(HEADERS, EVENT)]


def test_a_ping_is_sent_once() -> None:
    ingest, tally = Ingest(503), Tally()
    deliver(ingest.post, {"type": "ping"}, "", tally, Random(1))
    assert (len(ingest.sent), tally.unsure) == (1, [])
