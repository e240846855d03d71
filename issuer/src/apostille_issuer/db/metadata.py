"""All tables, for the migrations: the one place that knows every domain's models."""

from __future__ import annotations

import apostille_issuer.access.models
import apostille_issuer.accounts.models
import apostille_issuer.audit.models
import apostille_issuer.clients.models
import apostille_issuer.keys.models
import apostille_issuer.notifications.models
import apostille_issuer.sessions.models
import apostille_issuer.status.models
import apostille_issuer.tenancy.models  # noqa: F401 - importing a model is what registers its table
from apostille_issuer.db.types import Base

__all__ = ["METADATA"]

METADATA = Base.metadata
