"""JSON of a watched MAAS: its hosts, what differs, and hosts that were given back to it."""

from __future__ import annotations

from regiond.api.declaration.serializer import BOOL, INT, STR, Serializer, array, fields_of, key, serializer
from regiond.maas.parallel.model import Difference, GivenBack, ParallelRun, WatchedHost

_HOST: Serializer[WatchedHost] = serializer(
    "WatchedHost",
    *fields_of(WatchedHost, "vm_host=host_id name=host_name"),
    key("maas_in_charge", BOOL, lambda found: found.taken_at is None),
    *fields_of(WatchedHost, "taken_over=taken_at in_maas machines_in_maas"),
)
_DIFFERENCE: Serializer[Difference] = serializer(
    "MaasDifference", *fields_of(Difference, "vm_host=host_id name=host_name vm kind in_maas here since")
)
PARALLEL_RUN_JSON: Serializer[ParallelRun] = serializer(
    "MaasDifferences",
    key("import", INT, lambda run: run.maas_import.id),
    key("watched", BOOL, lambda run: run.maas_import.watched),
    *fields_of(
        ParallelRun,
        "read=maas_import.read_at problem=maas_import.problem problem_since=maas_import.problem_since",
    ),
    key("hosts", array(_HOST), lambda run: run.hosts),
    key("differences", array(_DIFFERENCE), lambda run: run.differences),
    *fields_of(ParallelRun, "more"),
)
GIVEN_BACK_JSON: Serializer[GivenBack] = serializer(
    "GivenBack",
    *fields_of(GivenBack, "vm_host=host_id name=host_name"),
    key("machines", array(STR), lambda found: found.machines),
    key("operations", array(INT), lambda found: found.operations),
)
