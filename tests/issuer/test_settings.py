"""Settings: limits, defaults, and reading them from the environment."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import msgspec
import pytest

from apostille_issuer.environment import SECRETS, VARIABLES, NameServer, RateLimit
from apostille_issuer.problems import SettingsError
from apostille_issuer.settings import Settings

KEY = "A" * 43


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(environ)
    return str(refused.value)


def test_every_field_has_a_variable_and_a_default() -> None:
    fields = set(Settings.__struct_fields__)
    assert set(VARIABLES.values()) == fields
    assert fields >= SECRETS
    assert Settings() == Settings.from_environment({"PATH": "/bin", "HOME": "/root"})


def test_values_are_read_by_type() -> None:
    settings = Settings.from_environment(
        {
            "APOSTILLE_DATA": "/var/lib/apostille",
            "APOSTILLE_ISSUER_URL": "https://iam.example.com/auth",
            "APOSTILLE_ACCESS_TOKEN_LIFETIME": "1.5m",
            "APOSTILLE_DATABASE_TIMEOUT": "500ms",
            "APOSTILLE_REFRESH_IDLE_LIFETIME": "12h",
            "APOSTILLE_REFRESH_ABSOLUTE_LIFETIME": "7d",
            "APOSTILLE_LOGIN_LIMIT_PER_ACCOUNT": "5/10m",
            "APOSTILLE_DNS_SERVERS": "192.0.2.53, 192.0.2.54:5353 2001:db8::53,[::1]:54",
            "APOSTILLE_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::1",
            "APOSTILLE_SIGNING_ALGORITHM": "RS256",
            "APOSTILLE_STANDBY_SIGNING_ALGORITHMS": "ES256, EdDSA,ES256",
            "APOSTILLE_PREVIOUS_KEY_ENCRYPTION_KEYS": "first\nsecond",
            "APOSTILLE_HASHING_WORKERS": "3",
            "APOSTILLE_ALLOW_INSECURE_HTTP": "false",
            "APOSTILLE_LOG_LEVEL": "debug",
        }
    )
    assert settings == Settings(
        data=Path("/var/lib/apostille"),
        issuer_url="https://iam.example.com/auth",
        access_token_lifetime=timedelta(seconds=90),
        database_timeout=timedelta(milliseconds=500),
        refresh_idle_lifetime=timedelta(hours=12),
        refresh_absolute_lifetime=timedelta(days=7),
        login_limit_per_account=RateLimit(5, timedelta(minutes=10)),
        dns_servers=(
            NameServer(ip_address("192.0.2.53")),
            NameServer(ip_address("192.0.2.54"), 5353),
            NameServer(ip_address("2001:db8::53")),
            NameServer(ip_address("::1"), 54),
        ),
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("2001:db8::1")),
        signing_algorithm="RS256",
        standby_signing_algorithms=("ES256", "EdDSA"),
        previous_key_encryption_keys=("first", "second"),
        hashing_workers=3,
        log_level="debug",
    )


def test_an_unknown_name_is_refused_with_the_closest_known_one() -> None:
    assert refusal(APOSTILLE_ISUER_URL="x") == (
        "APOSTILLE_ISUER_URL is not a setting; did you mean APOSTILLE_ISSUER_URL?"
    )
    assert refusal(APOSTILLE_ZZZ="x") == "APOSTILLE_ZZZ is not a setting"
    assert "is not a setting" in refusal(APOSTILLE_ISSUER_URL_FILE="/etc/issuer")


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("ACCESS_TOKEN_LIFETIME", "10", "must be a duration such as 500ms, 30s, 10m, 12h or 14d"),
        *(
            ("DNS_SERVERS", text, "must be addresses such as 192.0.2.53 or [2001:db8::53]:53")
            for text in ("dns.example", "192.0.2.53:0", "192.0.2.53:65536", "[::g]:53", "1.2.3:4")
        ),
        ("ACCESS_TOKEN_LIFETIME", "9" * 400 + "d", "is too long a duration"),
        ("ACCESS_TOKEN_LIFETIME", "59s", "must be from 60s to 3600s"),
        ("ACCESS_TOKEN_LIFETIME", "61m", "must be from 60s to 3600s"),
        ("REFRESH_REPLAY_WINDOW", "61s", "must be from 0s to 60s"),
        ("REFRESH_IDLE_LIFETIME", "91d", "must not exceed the absolute lifetime"),
        ("ARGON2_MEMORY_KIB", "7167", "must be from 7,168 to 1,048,576"),
        ("ARGON2_TIME_COST", "2.0", "must be a whole number"),
        ("ARGON2_TIME_COST", "²", "must be a whole number"),
        ("HASHING_WORKERS", "0", "must be from 1 to 64"),
        ("LOGIN_LIMIT_PER_ADDRESS", "10", "must be attempts per duration, such as 10/15m"),
        ("LOGIN_LIMIT_PER_ADDRESS", "0/1m", "must be at least one attempt per second or longer"),
        ("SWITCH_LIMIT_PER_SESSION", "all", "must be attempts per duration, such as 10/15m"),
        ("SWITCH_LIMIT_PER_SESSION", "0/1m", "must be at least one attempt per second or longer"),
        ("LOGIN_LIMIT_PER_ADDRESS", "1/1ms", "must be at least one attempt per second or longer"),
        ("TRUSTED_PROXIES", "proxy", "must be addresses or networks such as 10.0.0.0/8"),
        ("STANDBY_SIGNING_ALGORITHMS", "ES256,HS256", "must be one of ES256, RS256"),
        ("SIGNING_ALGORITHM", "HS256", "must be one of ES256, RS256, PS256, EdDSA, Ed25519"),
        ("ALLOW_INSECURE_HTTP", "1", "must be true or false"),
        ("LOG_LEVEL", "trace", "must be one of debug, info, warning, error"),
        ("DATA", "", "must not be empty"),
        ("AUDIENCE", "a" * 256, "must have 1 to 255 characters"),
        ("DATABASE_URL", "postgresql://db/a", "KEY_ENCRYPTION_KEY is required together with"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(
    variable: str, value: str, complaint: str
) -> None:
    message = refusal(**{f"APOSTILLE_{variable}": value})
    assert message.startswith("APOSTILLE_")
    assert complaint in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "url",
    [
        "https://iam.example.com",
        "https://iam.example.com:8443/auth",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "http://localhost",
    ],
)
def test_an_issuer_is_https_or_on_loopback(url: str) -> None:
    assert Settings(issuer_url=url).issuer_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://iam.example.com",
        "http://127.0.0.1.example.com",
        "https://iam.example.com/",
        "https://iam.example.com?x",
        "https://iam.example.com#x",
        "https://user@iam.example.com",
        "https://",
        "https://iam.example.com:99999",
        "https://iam.example.com:0",
        "ftp://iam.example.com",
        "iam.example.com",
    ],
)
def test_any_other_issuer_is_refused(url: str) -> None:
    assert "APOSTILLE_ISSUER_URL must" in refusal(APOSTILLE_ISSUER_URL=url)


def test_plain_http_elsewhere_must_be_allowed_by_name() -> None:
    url = "http://issuer:8000"
    assert Settings(issuer_url=url, allow_insecure_http=True).issuer_url == url


def test_secrets_may_come_from_files(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    settings = Settings.from_environment({"APOSTILLE_KEY_ENCRYPTION_KEY_FILE": str(file)})
    assert settings.key_encryption_key == KEY


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    message = refusal(APOSTILLE_KEY_ENCRYPTION_KEY=KEY, APOSTILLE_KEY_ENCRYPTION_KEY_FILE=str(file))
    assert "are both set" in message
    assert KEY not in message


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"a" * 65_537, "the file is too long"), (b"\xff", "the file is not text")],
)
def test_a_secret_file_must_hold_a_short_text(
    content: bytes, complaint: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    message = refusal(APOSTILLE_BOOTSTRAP_PASSWORD_FILE=str(file))
    assert message == f"APOSTILLE_BOOTSTRAP_PASSWORD_FILE: {complaint}"


def test_a_secret_file_that_is_missing_is_named(tmp_path: Path) -> None:
    message = refusal(APOSTILLE_DATABASE_URL_FILE=str(tmp_path / "nowhere"))
    assert message == (
        "APOSTILLE_DATABASE_URL_FILE: cannot read the file (No such file or directory)"
    )


def test_settings_cannot_be_changed_and_show_no_secret() -> None:
    settings = Settings(
        database_url="postgresql://user:hunter2@db/apostille",
        key_encryption_key=KEY,
        bootstrap_password="hunter3 hunter3",
    )
    for shown in (repr(settings), str(settings)):
        assert "hunter" not in shown
        assert KEY not in shown
    with pytest.raises(AttributeError):
        settings.audience = "other"  # type: ignore[misc]


def test_replacing_a_field_holds_it_to_its_limits_again() -> None:
    with pytest.raises(SettingsError):
        msgspec.structs.replace(Settings(), access_token_lifetime=timedelta(hours=2))


def test_the_readme_names_every_variable_and_which_are_secret() -> None:
    readme = Path(__file__).parents[2] / "issuer" / "README.md"
    rows = re.findall(r"^\| `(APOSTILLE_\w+)`( 🔑)? \|", readme.read_text("utf-8"), re.MULTILINE)
    assert [name for name, _ in rows] == list(VARIABLES)
    assert {VARIABLES[name] for name, secret in rows if secret} == SECRETS
