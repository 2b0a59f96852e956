"""Portals under load: visitors who read, vote, stay and leave, with trackers that keep what was not acknowledged."""

import asyncio
import time
from random import Random
from typing import Any
from uuid import UUID

import httpx
import msgspec
from redis.exceptions import RedisError

import shared.redis
from shared.clock import wall_clock_ms
from shared.sites import Sites
from shared.streams import delivery_key, encode_entry, events_key
from tests.chaos.ledger import Ledger, Poison, Sent, Type
from tests.support.counting import GOOGLEBOT, PERSON, pageview

READERS = 10
BOTS = 2
PAUSE_SECONDS = 0.25
"""A reader's mean pause between requests."""
_ITEMS = 8
_TIMEOUT_SECONDS = 3.0
_POISON_SECONDS = 1.5
_GIVEN_UP = 0.02
_AGAIN = 0.08
_IMPATIENT = 0.03


class Traffic:
    """Readers and bots at work until `stop`. base: the address of ingest."""

    def __init__(self, base: str, redis_url: str, sites: Sites, random: Random, ledger: Ledger) -> None:
        self._base = base
        self._sites = sites
        self._random = random
        self._ledger = ledger
        self._stopping = asyncio.Event()
        self._redis = shared.redis.client(redis_url, timeout=2.0)
        self._client = httpx.AsyncClient(base_url=base, timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        for number in range(READERS + BOTS):
            random = Random(self._random.random())
            self._tasks.append(asyncio.create_task(self._read(random, bot=number >= READERS)))
        self._tasks.append(asyncio.create_task(self._put_poison(Random(self._random.random()))))

    async def stop(self) -> None:
        """No new events; returns once all that were begun are acknowledged or given up."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        await self._client.aclose()
        await self._redis.aclose()

    async def _read(self, random: Random, *, bot: bool) -> None:
        """One visitor after the other: opens some tabs at once, reads on, votes, and leaves."""
        while not self._stopping.is_set():
            site, who = random.choice(list(self._sites)), f"{random.getrandbits(64):016x}"
            visitor = _Visitor(self, random, site, who, bot=bot)
            await asyncio.gather(*(visitor.view() for _ in range(random.randint(1, 3))))
            for _ in range(random.randint(2, 12)):
                if self._stopping.is_set():
                    break
                await asyncio.sleep(random.expovariate(1 / PAUSE_SECONDS))
                await visitor.act()
            await visitor.signal("leave")

    async def deliver(self, events: list[dict[str, Any]], random: Random, *, bot: bool) -> bool:
        """Send until it is acknowledged, as the tracker does: the same ids, `attempt` counted up; whether it was."""
        keeps = random.random() >= _GIVEN_UP or any(event["type"] == Type.RATING for event in events)
        while True:
            sending = self._send(events, bot=bot)
            if random.random() < _IMPATIENT:
                acknowledged = await _cut_off(sending, random.uniform(0, 0.03))
            else:
                acknowledged = await sending
            if acknowledged:
                break
            if not keeps:
                return False
            for event in events:
                event["attempt"] = event.get("attempt", 0) + 1
            await asyncio.sleep(random.uniform(0.05, 0.4))
        if random.random() < _AGAIN:  # the answer got lost on its way to the page, or a browser repeats by itself
            await asyncio.sleep(random.choice((0.0, random.uniform(0, 1))))
            repeated = [{**event, "attempt": event.get("attempt", 0) + random.randint(0, 1)} for event in events]
            await self._send(repeated, bot=bot)
        return True

    async def _send(self, events: list[dict[str, Any]], *, bot: bool) -> bool:
        body = msgspec.json.encode(events if len(events) > 1 else events[0])
        headers = {"user-agent": GOOGLEBOT if bot else PERSON, "content-type": "text/plain"}
        signals = sum("id" not in event for event in events)
        self._ledger.signals_sent += signals
        started = time.monotonic()
        try:
            answer = await self._client.post("/v1/events", content=body, headers=headers)
        except httpx.HTTPError as error:
            self._ledger.refused[type(error).__name__] += 1
            return False
        self._ledger.slowest = max(self._ledger.slowest, time.monotonic() - started)
        if answer.status_code != 202:
            self._ledger.refused[str(answer.status_code)] += 1
            assert answer.status_code == 503, answer.text
            return False
        self._ledger.accepted += int(answer.json()["accepted"])
        self._ledger.signals += signals
        for event in events:
            if "id" in event:
                self._ledger.events[UUID(event["id"])].acknowledged = True
        return True

    async def _put_poison(self, random: Random) -> None:
        """Entries that no ingest of ours writes, between the good ones."""
        while not self._stopping.is_set():
            kind = random.choice(list(Poison))
            site = random.choice(list(self._sites))
            shard = self._sites.shard(site)
            if kind is Poison.WRONG_SHARD:
                others = [other for other in set(map(self._sites.shard, self._sites)) if other != shard]
                shard = random.choice(others)
            try:
                async with self._redis.pipeline(transaction=True) as transaction:
                    transaction.xadd(events_key(shard), _poison(kind, site))
                    transaction.hincrby(delivery_key(shard), "accepted", 1)
                    await transaction.execute()
                self._ledger.poison[kind] += 1
            except (RedisError, OSError):
                self._ledger.unsure[kind] += 1
            await asyncio.sleep(random.expovariate(1 / _POISON_SECONDS))


class _Visitor:
    """One person, or bot, on one site."""

    def __init__(self, traffic: Traffic, random: Random, site: str, who: str, *, bot: bool) -> None:
        self._traffic = traffic
        self._random = random
        self._site = site
        self._who = who
        self._bot = bot
        self._member = not bot and random.random() < 0.2
        self._seen = False

    async def act(self) -> None:
        chance = self._random.random()
        if chance < 0.55:
            await self.view()
        elif chance < 0.7:
            await self._deliver([self._view() for _ in range(self._random.randint(2, 20))])
        elif chance < 0.9 and not self._bot:
            await self._vote()
        else:
            await self.signal("ping")

    async def view(self) -> None:
        await self._deliver([self._view()])

    async def signal(self, kind: str) -> None:
        """A ping or leave, sent once, by who was seen: one that came before its page view would hide the visit."""
        if self._seen:
            event = {"type": kind, "site": self._site, "visitor": self._who, "url": self._url(), "member": self._member}
            await self._traffic._send([event], bot=self._bot)

    async def _vote(self) -> None:
        item, score = self._item(), self._random.randint(1, 5)
        sent = Sent(Type.RATING, self._site, item, self._who, score=score)
        event = {"type": "rating", "site": self._site, "item": item, "score": score, "voter": self._who}
        if await self._traffic.deliver([self._note(sent, event)], self._random, bot=False):
            self._traffic._ledger.votes[self._site, item, self._who] = score

    async def _deliver(self, events: list[dict[str, Any]]) -> None:
        if await self._traffic.deliver(events, self._random, bot=self._bot):
            self._seen = True

    def _view(self) -> dict[str, Any]:
        item = self._item()
        sent = Sent(Type.PAGEVIEW, self._site, item, self._who, bot=self._bot, member=self._member and not self._bot)
        url = f"https://portal.example.vn{item}?p={self._random.randint(1, 9)}"
        return self._note(
            sent,
            {"type": "pageview", "site": self._site, "url": url, "visitor": self._who, "member": self._member},
        )

    def _note(self, sent: Sent, event: dict[str, Any]) -> dict[str, Any]:
        number = UUID(int=self._random.getrandbits(128), version=4)
        self._traffic._ledger.events[number] = sent
        return {**event, "id": str(number)}

    def _item(self) -> str:
        return f"/bai-viet/{self._random.randint(1, _ITEMS)}"

    def _url(self) -> str:
        return f"https://portal.example.vn{self._item()}"


async def _cut_off(sending: Any, seconds: float) -> bool:
    """A page that is closed, or a network that is lost, before the answer has come."""
    try:
        return bool(await asyncio.wait_for(sending, seconds))
    except TimeoutError:
        return False


def _poison(kind: Poison, site: str) -> dict[Any, Any]:
    if kind is Poison.UNDECODABLE:
        return {"v": "1", "n": 1, "events": b"\xc1"}
    if kind is Poison.UNKNOWN_VERSION:
        return {"v": "9", "n": 1, "events": b"\x90"}
    times = {Poison.IN_THE_FUTURE: wall_clock_ms() + 3_600_000, Poison.TOO_OLD: 0}
    name = "nowhere" if kind is Poison.UNKNOWN_SITE else site
    return encode_entry([pageview(name, time=times.get(kind))])._asdict()
