"""`vm-hosts/?op=capacity`: the capacity of the fleet, of each zone and of each resource pool."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Result
from regiond.api.declaration.served import serve
from regiond.api.serializers.capacity import FLEET_CAPACITY_JSON

CAPACITY = crud.read(
    Result(doc="The capacity of `fleet`, `zones` and `pools`.", type=FLEET_CAPACITY_JSON),
    serve(lambda s: s.hosts.capacity),
    op="capacity",
    title="Read the capacity of the fleet",
    expensive=True,
    doc=(
        "Adds up the capacity of all VM hosts, and of those in each zone and each resource pool. A server with several "
        "hosts counts once. Servers that cannot be reached are counted apart."
    ),
)
