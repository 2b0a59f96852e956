"""Settings from the environment: a wrong variable is named, with what is known."""

from pathlib import Path

import pytest

from shared.errors import SetupError
from shared.settings import load_settings


def test_a_variable_sets_a_setting_and_an_override_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUYCAP_REDIS_URL", "redis://elsewhere:1/0")
    monkeypatch.setenv("TRUYCAP_SHARDS", "8")
    settings = load_settings(shards=2)
    assert (settings.redis_url, settings.shards, settings.config) == ("redis://elsewhere:1/0", 2, Path("truycap.toml"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("TRUYCAP_REDIS_ULR", "did you mean TRUYCAP_REDIS_URL?"),
        ("TRUYCAP_XYZZY", "known are TRUYCAP_REDIS_URL, TRUYCAP_CLICKHOUSE_DSN, "),
    ],
)
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SetupError) as caught:
        load_settings()
    assert f"{name} is unknown; " in caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TRUYCAP_SHARDS", "many", "valid integer"),
        ("TRUYCAP_SHARDS", "", "valid integer"),
        ("TRUYCAP_SHARDS", "0", "greater than or equal to 1"),
        ("TRUYCAP_RATE_LIMIT", "-1", "greater than or equal to 0"),
        ("TRUYCAP_LOG_FORMAT", "xml", "'auto', 'json' or 'text'"),
        ("TRUYCAP_RETENTION_DAYS", "34", "write 0 to keep page views for ever, or at least 35 days."),
        ("TRUYCAP_RETENTION_DAYS", "-1", "or at least 35 days."),
    ],
)
def test_a_bad_value_is_refused_with_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SetupError) as caught:
        load_settings()
    assert caught.value.message.startswith(f"{name}={value!r}: ")
    assert said in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("days", ["0", "35", "400"])
def test_page_views_are_kept_for_ever_or_for_at_least_35_days(monkeypatch: pytest.MonkeyPatch, days: str) -> None:
    monkeypatch.setenv("TRUYCAP_RETENTION_DAYS", days)
    assert load_settings().retention_days == int(days)


def test_a_missing_configuration_file_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--config"):
        load_settings(config=tmp_path / "none.toml").sites()
