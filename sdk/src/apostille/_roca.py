"""Detection of RSA moduli made by the Infineon generator (CVE-2017-15361). Pure.

Its primes are powers of 65537 modulo a product of small primes. So modulo each
of them the modulus is a power of 65537 too, which for another modulus
happens for all of them once in some hundred million keys.

See: Nemec et al., "The Return of Coppersmith's Attack", CCS 2017, section 2.3.
"""

from __future__ import annotations

from functools import cache

__all__ = ["is_roca_weak"]

_GENERATOR = 65537

# Primes up to 167 of which some residue is not a power of 65537; the others tell nothing.
_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


def is_roca_weak(modulus: int) -> bool:
    """Say whether *modulus* carries the fingerprint of the weak generator."""
    return all(modulus % prime in residues for prime, residues in _fingerprints().items())


@cache
def _fingerprints() -> dict[int, frozenset[int]]:
    return {prime: _powers(prime) for prime in _PRIMES}


def _powers(prime: int) -> frozenset[int]:
    """Return all powers of the generator modulo *prime*."""
    powers = {1}
    power = _GENERATOR % prime
    while power != 1:
        powers.add(power)
        power = power * _GENERATOR % prime
    return frozenset(powers)
