"""The request class of the application: how bodies are read.

Litestar's own reading accepts any media type and lets some parser errors
through as 500; here each gets its answer.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import InternalServerException

from apostille_contracts.problems import ProblemCode
from apostille_issuer.problems import IssuerProblem

__all__ = ["IssuerRequest"]


class IssuerRequest(Request[Any, Any, Any]):
    """A request whose body, if there is one, is a JSON object."""

    async def json(self) -> Any:
        """Return the decoded body; Litestar does not ask where there is none.

        Raises:
            IssuerProblem: ``unsupported_media_type``, ``malformed_body``, or
                ``body_too_large`` by way of Litestar.
        """
        body = await self.body()
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise IssuerProblem(ProblemCode.UNSUPPORTED_MEDIA_TYPE)
        try:
            document = msgspec.json.decode(body)
        # A decode error is a ValueError; so is bad UTF-8. Deep nesting ends in RecursionError.
        except (ValueError, RecursionError) as error:
            raise IssuerProblem(ProblemCode.MALFORMED_BODY) from error
        if not isinstance(document, dict):
            raise IssuerProblem(ProblemCode.MALFORMED_BODY)
        return document

    async def body(self) -> bytes:
        """Return the raw body.

        Raises:
            IssuerProblem: ``malformed_body``: the client went away half-way.
        """
        try:
            return await super().body()
        except InternalServerException as error:
            raise IssuerProblem(ProblemCode.MALFORMED_BODY) from error
