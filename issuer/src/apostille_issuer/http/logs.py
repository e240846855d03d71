"""The log: one JSON object per line on standard error."""

from __future__ import annotations

import datetime as dt
import logging
import sys
from typing import Any

import msgspec

from apostille_issuer.settings import LogLevel

__all__ = ["JsonLines", "configure_logging"]


class JsonLines(logging.Formatter):
    """One line per record; JSON escapes whatever could forge a second (ASVS V16.4.1)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        entry: dict[str, Any] = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if request_id := getattr(record, "request_id", None):
            entry["request_id"] = request_id
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def configure_logging(level: LogLevel) -> None:
    """Send everything from *level* up to standard error; done by the command line alone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("apostille_issuer", "apostille", "uvicorn.error"):
        logging.getLogger(name).setLevel(level.upper())
