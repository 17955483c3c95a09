"""Reads and changes networks, discovers them from hosts, and claims addresses for machines."""

from __future__ import annotations

from regiond.networks.fabrics import Fabrics
from regiond.networks.interfaces import Interfaces
from regiond.networks.ipam.ranges import Ranges
from regiond.networks.spaces import Spaces
from regiond.networks.subnets import Subnets


class Networks(Fabrics, Subnets, Spaces, Ranges, Interfaces):
    """Fabrics, VLANs, subnets, spaces, IP ranges and interfaces, each from its own module.

    Objects are named by id or name. Unknown ones raise NotFound, bad fields InvalidRequest, and changes by a caller
    that is not an administrator NotAllowed.
    """
