"""`regions/`: the region daemons that share the database."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Resource
from regiond.api.declaration.served import serve
from regiond.api.serializers.racks import REGION_JSON
from regiond.requests.caller import Permission

REGIONS = Resource(
    handler="RegionsHandler",
    path="regions/",
    doc="Regions: the daemons that make decisions and serve this API.",
    endpoints=(
        crud.list_of(
            REGION_JSON,
            serve(lambda s: s.racks.regions),
            title="List regions",
            doc=(
                "Shows each region process with its age, release and schema, its racks, and the operations that it "
                "runs. One that ended is not listed; one that died is `silent` after 30 s and deleted after 10 minutes."
            ),
            result="The regions, in the order of their start.",
            permission=Permission.ADMIN,
        ),
    ),
)
