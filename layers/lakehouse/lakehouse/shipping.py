"""Ship compiled assets to the operations bucket, and remove what nothing has used for a long time.

Each content has a prefix of its own, named by its hash. A run uses the prefix it claimed with, whatever was
deployed since; so a prefix stays for `KEEP_DAYS` after another one has taken its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

from .words import INDEX_FILE, RETIRED_FILE

ASSETS_ROOT: Final = "assets/"
KEEP_DAYS: Final = 30


class ShippedAssets(Protocol):
    """What is to be shipped: files by their name under ``prefix`` (``assets/<hash>/``)."""

    @property
    def prefix(self) -> str:
        """The prefix, ending with a slash."""
        ...

    @property
    def files(self) -> Mapping[str, bytes]:
        """Contents by name; ``index.json`` is one of them."""
        ...


class AssetsBucket(Protocol):
    """The part of the operations bucket below ``assets/``."""

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""
        ...

    def written_at(self, key: str) -> datetime | None:
        """When an object was written (S3's own time), or None if there is none."""
        ...

    def prefixes(self, root: str) -> list[str]:
        """The folders right below ``root``, each ending with a slash."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; no error if it is not there."""
        ...

    def delete_all(self, prefix: str) -> None:
        """Remove every object under a prefix."""
        ...


def ship(assets: ShippedAssets, bucket: AssetsBucket, now: datetime) -> None:
    """Write the assets unless they are there whole, and make theirs the one prefix that is not retired.

    ``index.json`` comes last: where it is, everything is. Safe to repeat at any point.
    """
    if bucket.written_at(assets.prefix + INDEX_FILE) is None:
        for name in sorted(assets.files, key=lambda name: (name == INDEX_FILE, name)):
            bucket.put(assets.prefix + name, assets.files[name])
    bucket.delete(assets.prefix + RETIRED_FILE)
    for prefix in bucket.prefixes(ASSETS_ROOT):
        if prefix != assets.prefix:
            retire(prefix, bucket, now)


def retire(prefix: str, bucket: AssetsBucket, now: datetime) -> None:
    """Mark a prefix as replaced; remove it when it was marked more than ``KEEP_DAYS`` ago."""
    since = bucket.written_at(prefix + RETIRED_FILE)
    if since is None:
        bucket.put(prefix + RETIRED_FILE, b"{}")
    elif now - since > timedelta(days=KEEP_DAYS):
        bucket.delete_all(prefix)
