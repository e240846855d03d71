"""``python -m apostille_issuer``: the command line."""

from __future__ import annotations

import sys

from apostille_issuer.cli import main

sys.exit(main())
