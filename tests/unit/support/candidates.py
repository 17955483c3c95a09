"""A host that fits small machines, its storage pools, and evaluations of it."""

from __future__ import annotations

from common.units import BYTES_PER_GB
from common.values import NicKind
from regiond.placement.candidate import Candidate, CandidateInterface, CandidateStoragePool
from regiond.placement.model import Evaluation
from regiond.placement.ranking import place
from regiond.placement.requirements import Requirements
from regiond.placement.storage_parser import parse_storage


def storage_pool(
    id_: int = 1, name: str = "default", total_gb: int = 100, free_gb: int | None = None
) -> CandidateStoragePool:
    free_bytes = (total_gb if free_gb is None else free_gb) * BYTES_PER_GB
    return CandidateStoragePool(
        id=id_, pool_key=f"key-{name}", name=name, total_bytes=total_gb * BYTES_PER_GB, free_bytes=free_bytes
    )


HOST = Candidate(
    id=1,
    name="a",
    state="ready",
    reachable=True,
    architecture="amd64",
    cores=4,
    memory_mib=12288,
    storage_pools=(storage_pool(),),
    interfaces=(CandidateInterface(id=1, name="default", kind=NicKind.NETWORK, type="bridge"),),
)
SMALL = Requirements(cores=2, memory_mib=4096, disks=parse_storage("root:8"))


def evaluated(requirements: Requirements, host: Candidate) -> Evaluation:
    placement = place(requirements, [host])
    return placement.chosen or placement.rejected[0]
