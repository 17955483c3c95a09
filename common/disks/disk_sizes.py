"""Sizes that a product gives to the disks of virtual machines. Pure."""

from __future__ import annotations

from collections.abc import Mapping

# Incus makes a disk of a VM in whole blocks, larger than asked for. Version 7.0.2 cannot back up one of another size.
_BLOCK_BYTES: Mapping[str, int] = {"Incus": 8192}


def whole_size(size_bytes: int, *, product: str) -> int:
    """Returns the size of a new or grown disk on a host of this product that has room for so many bytes."""
    block = _BLOCK_BYTES.get(product, 1)
    return -(-size_bytes // block) * block
