"""What all tests share: no setting of the machine that they run on reaches them, and they are the same at every run."""

import os

import pytest
from hypothesis import settings

# The same examples each time: a test that fails now and then says nothing of the change it ran for.
# For other ones: HYPOTHESIS_PROFILE=explore
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TRUYCAP_"):
            monkeypatch.delenv(name)
