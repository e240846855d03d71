"""The inventory service in Django REST Framework, on Django's server: no database, no users."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application

from apostille import Verifier

from .inventory import MAX_BODY_BYTES
from .serving import Options, listen, serve_until_stopped, setting_up, take_over

__all__ = ["configure", "main"]

_ADAPTER = "apostille_adapters.django"


def configure(verifier: Verifier) -> None:
    """Set Django up, as a ``settings.py`` would."""
    settings.configure(
        ALLOWED_HOSTS=["*"],  # an example that anybody may reach under any name
        APOSTILLE={"VERIFIER": verifier},  # or {"ISSUER": "https://…", "AUDIENCE": "inventory"}
        DATA_UPLOAD_MAX_MEMORY_SIZE=MAX_BODY_BYTES,
        INSTALLED_APPS=["rest_framework", _ADAPTER],
        LOGGING_CONFIG=None,
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": [f"{_ADAPTER}.drf.ApostilleAuthentication"],
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
            "EXCEPTION_HANDLER": "apostille_examples.drf_views.exception_handler",
            "UNAUTHENTICATED_USER": f"{_ADAPTER}.Anonymous",
        },
        ROOT_URLCONF="apostille_examples.drf_views",
    )
    django.setup()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Leave requests unlogged."""


def main() -> None:
    """Serve until told to stop."""
    options = Options.parse("Django REST Framework", 8002)
    with setting_up():
        verifier = Verifier(options.issuer, **options.verifier_options)
    configure(verifier)
    with verifier, listen(options) as listening:
        server = ThreadedWSGIServer(
            (options.host, options.port), _QuietHandler, bind_and_activate=False
        )
        take_over(server, listening)
        server.setup_environ()
        server.set_app(get_wsgi_application())
        serve_until_stopped(server)


if __name__ == "__main__":
    main()
