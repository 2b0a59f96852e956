"""Settings from the environment: a wrong variable is named, with what is known."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from services.embedded.folder import Folder
from services.stores import embedded_settings
from shared.errors import SetupError, redacted
from shared.settings import Settings, is_given, load_settings


def test_a_variable_sets_a_setting_and_an_override_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUYCAP_REDIS_URL", "redis://elsewhere:1/0")
    monkeypatch.setenv("TRUYCAP_SHARDS", "8")
    settings = load_settings(shards=2)
    assert (settings.redis_url, settings.shards, settings.config) == ("redis://elsewhere:1/0", 2, Path("truycap.toml"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("TRUYCAP_REDIS_ULR", "did you mean TRUYCAP_REDIS_URL?"),
        ("TRUYCAP_SHARD_FILE", "did you mean TRUYCAP_SHARDS?"),
        ("TRUYCAP_CONFIG_FILE", "did you mean TRUYCAP_CONFIG?"),
        ("TRUYCAP_PORT", "known are TRUYCAP_REDIS_URL"),
        ("TRUYCAP_XYZZY", "known are TRUYCAP_REDIS_URL, TRUYCAP_REDIS_PASSWORD, "),
    ],
)
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SetupError) as caught:
        load_settings()
    assert f"{name} is unknown; " in caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize("service", ["TRUYCAP", "TRUYCAP_API"])
def test_what_kubernetes_tells_of_services_with_such_names_is_no_setting(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    before = load_settings()
    for name, value in {
        "SERVICE_HOST": "10.0.162.149",
        "SERVICE_PORT": "8000",
        "SERVICE_PORT_HTTP": "8000",
        "PORT": "tcp://10.0.162.149:8000",
        "PORT_8000_TCP": "tcp://10.0.162.149:8000",
        "PORT_8000_TCP_PROTO": "tcp",
        "PORT_8000_TCP_PORT": "8000",
        "PORT_8000_TCP_ADDR": "10.0.162.149",
    }.items():
        monkeypatch.setenv(f"{service}_{name}", value)
    assert load_settings() == before


def test_a_file_may_hold_the_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("redis://elsewhere:1/0\n", "utf-8")
    monkeypatch.setenv("TRUYCAP_REDIS_URL_FILE", str(secret))
    assert load_settings().redis_url == "redis://elsewhere:1/0"
    assert load_settings(redis_url="redis://here:1/0").redis_url == "redis://here:1/0"
    assert (is_given("redis_url"), is_given("clickhouse_dsn")) == (True, False)


def test_a_value_and_a_file_for_it_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRUYCAP_SHARDS", "2")
    monkeypatch.setenv("TRUYCAP_SHARDS_FILE", str(tmp_path / "shards"))
    with pytest.raises(SetupError, match="TRUYCAP_SHARDS and TRUYCAP_SHARDS_FILE are both given"):
        load_settings()


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRUYCAP_SHARDS_FILE", str(tmp_path / "none"))
    with pytest.raises(SetupError, match=r"TRUYCAP_SHARDS_FILE=.*none: the file cannot be read \(No such file"):
        load_settings()


@pytest.mark.parametrize("password", ["plain", "@:/?#%[] &+ü'\""])
def test_a_password_stands_apart_as_it_is_and_is_never_shown(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("TRUYCAP_REDIS_URL", "redis://redis:6379/0")
    monkeypatch.setenv("TRUYCAP_REDIS_PASSWORD", password)
    monkeypatch.setenv("TRUYCAP_CLICKHOUSE_DSN", "http://truycap:old@clickhouse:8123/truycap")
    monkeypatch.setenv("TRUYCAP_CLICKHOUSE_PASSWORD", password)
    settings = load_settings()
    redis, clickhouse = urlsplit(settings.redis_url), urlsplit(settings.clickhouse_dsn)
    assert (redis.username, unquote(redis.password or ""), redis.hostname, redis.port) == ("", password, "redis", 6379)
    assert (clickhouse.username, unquote(clickhouse.password or "")) == ("truycap", password)
    assert redacted(settings.redis_url) == "redis://:***@redis:6379/0"
    assert redacted(settings.clickhouse_dsn) == "http://truycap:***@clickhouse:8123/truycap"


def test_the_passwords_of_servers_are_not_for_the_folder_of_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRUYCAP_REDIS_PASSWORD", "secret")
    monkeypatch.setenv("TRUYCAP_CLICKHOUSE_PASSWORD", "secret")
    folder = Folder(tmp_path)
    settings = embedded_settings(folder, None)
    assert (settings.redis_url, settings.clickhouse_dsn) == (folder.redis_url, folder.clickhouse_dsn)


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


@pytest.mark.parametrize(
    ("setting", "content", "said"),
    [
        ("REDIS_PASSWORD", "\n", r"TRUYCAP_REDIS_PASSWORD_FILE=.*secret: the file is empty"),
        ("RATE_LIMIT", "s3cret", r"TRUYCAP_RATE_LIMIT_FILE: input should be a valid integer"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, content: str, said: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(content, "utf-8")
    monkeypatch.setenv(f"TRUYCAP_{setting}_FILE", str(secret))
    with pytest.raises(SetupError, match=said) as error:
        load_settings()
    assert "s3cret" not in str(error.value)


def test_a_file_without_a_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUYCAP_REDIS_URL_FILE", "")
    assert not is_given("redis_url")
    assert load_settings().redis_url == Settings.model_fields["redis_url"].default


@pytest.mark.parametrize("address", ["redis:6379", "redis://[::1", "localhost"])
def test_an_address_that_no_password_can_be_put_into_is_named(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("TRUYCAP_REDIS_URL", address)
    monkeypatch.setenv("TRUYCAP_REDIS_PASSWORD", "secret")
    with pytest.raises(SetupError, match=r"TRUYCAP_REDIS_URL=.*write scheme://host:port"):
        load_settings()


def test_a_missing_configuration_file_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--config"):
        load_settings(config=tmp_path / "none.toml").sites()
