"""On what was measured: the machine, its load, and the versions of what ran."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["describe", "load_average", "versions"]

_PACKAGES = (
    "apostille",
    "apostille-issuer",
    "cryptography",
    "msgspec",
    "pyjwt",
    "joserfc",
    "authlib",
    "fastapi",
    "starlette",
    "litestar",
    "flask",
    "django",
    "djangorestframework",
    "djangorestframework-simplejwt",
    "flask-jwt-extended",
    "uvicorn",
    "uvloop",
    "gunicorn",
    "sqlalchemy",
    "psycopg",
    "argon2-cffi",
)


def describe() -> str:
    """Return one line on processor, memory, system and interpreter."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores of {_processor()}, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def versions() -> dict[str, str]:
    """Return the versions of the packages that take part, where installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def load_average() -> float:
    """Return how many processes wanted to run during the last minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
