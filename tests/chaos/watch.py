"""Somebody who looks at the block all the time: what it shows only ever grows."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import httpx

_SECONDS = 0.5
_GROWS = ("visits", "pageviews")


class Watcher:
    """Reads every site's counts through the api. violations: numbers that fell."""

    def __init__(self, base: str, sites: Sequence[str]) -> None:
        self._client = httpx.AsyncClient(base_url=base, timeout=2.0, trust_env=False)
        self._sites = sites
        self._seen: dict[tuple[str, str], int] = {}
        self.violations: list[str] = []

    async def run(self) -> None:
        """Look until cancelled."""
        async with self._client:
            while True:
                for site in self._sites:
                    with suppress(httpx.HTTPError):
                        answer = await self._client.get(f"/v1/sites/{site}/counts")
                        if answer.status_code == 200:
                            self._look(site, answer.json())
                await asyncio.sleep(_SECONDS)

    @property
    def saw_nothing(self) -> bool:
        return not any(self._seen.values())

    def _look(self, site: str, counts: dict[str, Any]) -> None:
        for measure in _GROWS:
            total, before = int(counts[measure]["total"]), self._seen.get((site, measure), 0)
            if total < before:
                self.violations.append(f"the block of {site} fell from {before} to {total} {measure}")
            self._seen[site, measure] = total
