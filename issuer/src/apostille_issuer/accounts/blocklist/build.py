"""Make ``passwords.bin`` anew from the sources named in ``PROVENANCE.md``.

.. code-block:: console

    $ python -m apostille_issuer.accounts.blocklist.build 15:FOLDER 8:FILE > passwords.bin

Each source is a text file with one password per line, gzipped if its name ends
in ``.gz``, or a folder of such files. The number before it is the length in
code points from which its passwords are taken.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from apostille_issuer.accounts.blocklist import fingerprint, fold

__all__ = ["main", "make"]


def make(sources: Mapping[Path, int]) -> bytes:
    """Return the contents of ``passwords.bin`` for *sources* and their least lengths."""
    fingerprints = {
        fingerprint(fold(line))
        for source, min_length in sources.items()
        for line in _lines(source)
        if len(line) >= min_length
    }
    return b"".join(sorted(fingerprints))


def _lines(source: Path) -> Iterator[str]:
    if source.is_dir():
        for path in sorted(source.rglob("*.txt")):
            yield from _lines(path)
        return
    content = source.read_bytes()
    if source.suffix == ".gz":
        content = gzip.decompress(content)
    # A line that is not UTF-8 is no password that could be sent to us.
    yield from (
        line for line in content.decode(errors="replace").split("\n") if "\ufffd" not in line
    )


def main(arguments: list[str]) -> None:
    """Write the list made from *arguments*, each a least length, a colon and a path."""
    pairs = (argument.split(":", 1) for argument in arguments)
    sys.stdout.buffer.write(make({Path(path): int(length) for length, path in pairs}))


if __name__ == "__main__":
    main(sys.argv[1:])
