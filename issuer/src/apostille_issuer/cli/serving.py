"""``apostille-issuer serve``."""

from __future__ import annotations

import argparse
import os
from ipaddress import ip_address

from msgspec.structs import replace

from apostille_issuer.app import create_app
from apostille_issuer.bootstrap import FirstSuperuser
from apostille_issuer.cli.options import add_data_option, settings_for
from apostille_issuer.http.logs import configure_logging
from apostille_issuer.server import listening_socket, serve
from apostille_issuer.version import version

__all__ = ["configure", "run"]

MAX_PORT = 65_535

FIRST_STEPS = """
Created the first superuser:

  login     {login}
  password  {note}

Log in:

  TOKEN=$(curl -s {url}/v1/auth/login -H 'Content-Type: application/json' \\
    -d '{{"login": "{login}", "password": "{password}"}}' \\
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')

Call the issuer's own API, or any service that trusts it:

  curl -s {url}/v1/users -H "Authorization: Bearer $TOKEN"

The API is described at {url}/docs
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    add_data_option(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8000, help="port to listen on (%(default)s); 0 picks one"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal."""
    settings = settings_for(arguments)
    with listening_socket(arguments.host, arguments.port) as listener:
        address = _address(arguments.host, listener.getsockname()[1])
        if "APOSTILLE_ISSUER_URL" not in os.environ:
            settings = replace(settings, issuer_url=address)
        configure_logging(settings.log_level)
        app = create_app(settings)

        def ready() -> None:
            first: FirstSuperuser | None = app.state.get("first_superuser")
            if first is not None:
                print(_first_steps(first, address))
            print(f"Apostille issuer {version()} is ready at {address}", flush=True)

        serve(app, listener, ready=ready)
    return 0


def _first_steps(first: FirstSuperuser, url: str) -> str:
    """Return, once in the life of a database, how to go on."""
    if first.password is None:
        note, password = "the one you chose", "..."
    else:
        note, password = f"{first.password}   (shown this once)", first.password
    return FIRST_STEPS.format(url=url, login=first.login, note=note, password=password)


def _address(host: str, port: int) -> str:
    """Return the URL at which a client on this machine reaches us."""
    try:
        parsed = ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if parsed.is_unspecified:
        return f"http://127.0.0.1:{port}"
    return f"http://[{host}]:{port}" if parsed.version == 6 else f"http://{host}:{port}"


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= MAX_PORT:
        raise ValueError
    return port
