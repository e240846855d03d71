"""What ``import apostille`` costs a fresh interpreter, beside what it replaces."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

from bench.report import Section, Table
from bench.rounds import ROUNDS
from bench.series import Budget, Series
from bench.tokens import AUDIENCE, ISSUER, Mint

__all__ = ["import_table"]

MILLISECONDS = 150.0
MEBIBYTES = 25.0

OURS = "from apostille import Verifier, HasPermission"

_STATEMENTS = {
    OURS: OURS,
    "the same, a verifier made, one token verified": (
        "from apostille import HasPermission, StaticKeys, Verifier\n"
        "HasPermission('inventory.read')\n"
        "verifier = Verifier(ISSUER, audience=AUDIENCE, keys=StaticKeys(JWKS))\n"
        "verifier.verify(TOKEN)"
    ),
    "import jwt (PyJWT)": "import jwt; from jwt import PyJWKClient",
    "the same, one token verified": (
        "import jwt\n"
        "key = jwt.PyJWK(JWKS['keys'][0])\n"
        "jwt.decode(TOKEN, key, ['ES256'], audience=AUDIENCE, issuer=ISSUER)"
    ),
    "from joserfc import jwt": "from joserfc import jwk, jwt",
    "from authlib.jose import JsonWebToken": "from authlib.jose import JsonWebKey, JsonWebToken",
    "cryptography's EC and RSA keys alone": (
        "from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa"
    ),
}

_SCRIPT = """
import json, sys
from os import sysconf
from time import process_time

ISSUER, AUDIENCE, JWKS, TOKEN = json.loads(sys.argv[1])

def resident():  # as bench.fresh does it, without importing anything
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * sysconf("SC_PAGE_SIZE")

memory = resident()
begin = process_time()
exec(sys.argv[2])
took = process_time() - begin
print(json.dumps([took * 1e3, (resident() - memory) / 2**20]))
"""


def import_table(section: Section) -> None:
    """Add time and memory of the imports, each in fresh interpreters, and the budgets."""
    mint = Mint.of("ES256")
    given = json.dumps([ISSUER, AUDIENCE, mint.jwks, replace(mint, with_status=False).token()])
    times: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    sizes: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    for number in range(ROUNDS + 1):
        for name, statement in _STATEMENTS.items():
            took, size = _run(given, statement)
            if number:  # the first round only fills the page cache
                times[name].append(took)
                sizes[name].append(size)
    milliseconds = {name: Series.of(values) for name, values in times.items()}
    mebibytes = {name: Series.of(values) for name, values in sizes.items()}
    note = "Processor time in interpreters of their own, files in the page cache."
    section.tables.append(
        Table("Import, time", "ms", milliseconds, ("import jwt (PyJWT)",), note=note)
    )
    section.tables.append(Table("Import, memory", "MiB", mebibytes))
    add = section.budgets.append
    add(Budget("import of the SDK, time", MILLISECONDS, milliseconds[OURS], unit="ms"))
    add(Budget("import of the SDK, memory", MEBIBYTES, mebibytes[OURS], unit="MiB"))


def _run(given: str, statement: str) -> tuple[float, float]:
    command = [sys.executable, "-W", "ignore", "-c", _SCRIPT, given, statement]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60)
    took, size = json.loads(done.stdout)
    return took, size
