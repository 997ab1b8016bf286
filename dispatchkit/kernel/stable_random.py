"""Random numbers and ids computed from words, the same on every machine and in every order.

Two policies that are compared draw the same numbers, so they differ only where they decide differently.

u = (k + 1/2) / 2**52 with k the top 52 bits of SHA-256 over the length-prefixed words (seed, stream, ids...).
No draw depends on row order, process, or on how many draws came before.
"""

from __future__ import annotations

from hashlib import sha256
from statistics import NormalDist

_NORMAL = NormalDist()


def uniform(seed: int, stream: str, *ids: int | str) -> float:
    """Return one number in (0, 1), the same for the same words on any machine."""
    digest = sha256()
    for word in (seed, stream, *ids):
        data = str(word).encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return ((int.from_bytes(digest.digest()[:8], "big") >> 12) + 0.5) / 2**52


def normal(seed: int, stream: str, *ids: int | str) -> float:
    """Return one standard normal number, by inverse CDF of `uniform`."""
    return _NORMAL.inv_cdf(uniform(seed, stream, *ids))


def stable_id(*words: int | str) -> int:
    """Return a positive 63-bit id made from words: the same row decided twice gets the same id."""
    digest = sha256()
    for word in words:
        data = str(word).encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return (int.from_bytes(digest.digest()[:8], "big") >> 1) or 1
