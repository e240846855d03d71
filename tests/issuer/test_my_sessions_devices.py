"""What a list of sessions says about devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apostille_issuer.sessions.devices import Device, device_of

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
IOS = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT}"
MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT}"
ANDROID = f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT}"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) {IOS}"


@pytest.mark.parametrize(
    ("user_agent", "program", "system"),
    [
        (f"{WINDOWS} Chrome/138.0.0.0 Safari/537.36", "Chrome", "Windows"),
        (f"{WINDOWS} Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0", "Edge", "Windows"),
        (f"{WINDOWS} Chrome/138.0.0.0 Safari/537.36 OPR/120.0.0.0", "Opera", "Windows"),
        (f"{MAC} Version/18.5 Safari/605.1.15", "Safari", "macOS"),
        (f"{MAC} Chrome/138.0.0.0 Safari/537.36 Vivaldi/7.4", "Vivaldi", "macOS"),
        (f"{ANDROID} Chrome/138.0.0.0 Mobile Safari/537.36", "Chrome", "Android"),
        (
            f"{ANDROID} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
            "Samsung Internet",
            "Android",
        ),
        (f"{IPHONE} Version/18.5 Mobile/15E148 Safari/604.1", "Safari", "iOS"),
        (f"{IPHONE} CriOS/138.0.7204.33 Mobile/15E148 Safari/604.1", "Chrome", "iOS"),
        (f"{IPHONE} FxiOS/140.0 Mobile/15E148 Safari/604.1", "Firefox", "iOS"),
        (
            f"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) {IOS} Version/16.6 Safari/604.1",
            "Safari",
            "iPadOS",
        ),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/2010 Firefox/140.0", "Firefox", "Linux"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/138", "Chrome", "ChromeOS"),
        ("Mozilla/5.0 (compatible; somebody else's)", None, None),
        ("curl/8.5.0", "curl", None),
        ("python-httpx/0.28.1", "python-httpx", None),
        ("Dalvik/2.1.0 (Linux; U; Android 14)", "Dalvik", "Android"),
        ("(nameless)", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_browser_and_system_have_the_names_people_know(
    user_agent: str | None, program: str | None, system: str | None
) -> None:
    assert device_of(user_agent) == Device(program, system)


@given(st.text(max_size=256))
def test_whatever_is_sent_names_are_short(user_agent: str) -> None:
    device = device_of(user_agent)
    assert len(device.program or "") <= 64
