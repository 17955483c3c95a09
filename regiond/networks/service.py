"""Networks: learned from hosts, then named, grouped and corrected by people."""

from __future__ import annotations

from regiond.networks.fabrics import Fabrics
from regiond.networks.interfaces import Interfaces
from regiond.networks.ranges import Ranges
from regiond.networks.spaces import Spaces
from regiond.networks.subnets import Subnets


class Networks(Fabrics, Subnets, Spaces, Ranges, Interfaces):
    """Fabrics, VLANs, subnets, spaces, address ranges and the interfaces of hosts, each by its part of the room.

    Objects are asked for by id or name; unknown ones raise NotFound, bad fields InvalidRequest, callers who are no
    administrators NotAllowed.
    """
