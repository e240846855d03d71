"""Start everything the tour needs, walk it, and say how it went."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import secrets
import shutil
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TextIO

import httpx
import msgspec

from apostille_contracts.claims import AccessTokenClaims
from apostille_issuer.issuer import Issuer
from apostille_issuer.settings import Settings
from apostille_issuer.tour.journey import AUDIENCE, Journey
from apostille_issuer.tour.processes import ProcessFailed, free_port, running
from apostille_issuer.tour.transcript import StepFailed, Transcript

__all__ = ["run"]

SERVICES = {
    "FastAPI": "apostille_examples.fastapi_inventory",
    "Django REST Framework": "apostille_examples.drf_inventory",
    "Flask": "apostille_examples.flask_inventory",
}
NEEDED = ("apostille_examples", "fastapi", "django", "rest_framework", "flask", "uvicorn")

ADMINISTRATOR = "admin@example.com"


def run(data: Path | None = None, stream: TextIO | None = None) -> int:
    """Walk the tour and return the exit status: 0 only if every step went as said.

    Args:
        data: Data folder of the throw-away issuer; it must not exist yet, and
            is left behind. By default a temporary one, which is removed.
        stream: Where the steps are printed; standard output by default.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"The tour needs the example services ({', '.join(missing)} missing): "
            'pip install "apostille-issuer[tour]"\n'
        )
        return 1
    if data is not None and data.exists():
        sys.stderr.write(f"{data} exists; the tour wants a folder of its own.\n")
        return 1
    transcript = Transcript(stream)
    scratch = Path(tempfile.mkdtemp(prefix="apostille-tour-"))
    try:
        _start_and_walk(data or scratch / "data", scratch, transcript)
    except (StepFailed, ProcessFailed, httpx.HTTPError) as error:
        transcript.closing(f"The tour stopped: {error}")
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    transcript.closing(f"All {transcript.steps} steps went as said.")
    return 0


def _start_and_walk(data: Path, scratch: Path, transcript: Transcript) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    settings = Settings(data=data, issuer_url=issuer)
    password = secrets.token_urlsafe(18)
    with contextlib.ExitStack() as processes:
        transcript.heading("Starting")
        started = time.perf_counter()
        processes.enter_context(
            running(
                ["apostille_issuer", "serve", "--data", str(data), "--port", str(port)],
                ready_url=f"{issuer}/health/ready",
                log=scratch / "issuer.log",
                environment={
                    "APOSTILLE_BOOTSTRAP_LOGIN": ADMINISTRATOR,
                    "APOSTILLE_BOOTSTRAP_PASSWORD": password,
                    "APOSTILLE_STATUS_TTL": "2s",  # the tour need not wait ten seconds
                },
            )
        )
        transcript.note(f"the issuer at {issuer}", "ready", time.perf_counter() - started)
        services: dict[str, str] = {}
        for name, module in SERVICES.items():
            started = time.perf_counter()
            port = free_port()
            address = f"http://127.0.0.1:{port}"
            arguments = [module, "--issuer", issuer, "--port", str(port)]
            log = scratch / f"{module}.log"
            processes.enter_context(running(arguments, ready_url=f"{address}/health", log=log))
            transcript.note(f"{name} at {address}", "ready", time.perf_counter() - started)
            services[name] = address
        expired = asyncio.run(_expired_token(settings))
        Journey(issuer, services, (ADMINISTRATOR, password), transcript).walk(expired)


async def _expired_token(settings: Settings) -> str:
    """Return a token the issuer's own key signed, whose time is over.

    The issuer hands out none, and waiting for one would take minutes; the
    tour owns the data folder, so it signs one like the issuer does.
    """
    now = int(time.time())
    claims = AccessTokenClaims(
        iss=settings.issuer_url,
        sub=str(uuid.uuid4()),
        aud=AUDIENCE,
        client_id=settings.client_id,
        iat=now - 900,
        exp=now - 300,
        jti=str(uuid.uuid4()),
        permissions=("inventory.*",),
    )
    async with Issuer(settings).running() as issuer:
        return await issuer.keys.sign(msgspec.json.encode(claims))
