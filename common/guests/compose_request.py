"""The request to compose a machine, the same for HTTP, RPC clients and stored operations."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class ComposeRequest:
    """A caller's requirements of a machine. Unchecked: the region validates them.

    `host_id` None lets placement choose the host. `storage` and `interfaces` are constraint texts; `zone` and
    `pool` are ids or names. `affinity` and `anti_affinity` are groups such as `db` or `db:soft`. With
    `pinned_cores` or `pin_cores` (so many cores of one NUMA node), `cores` has no effect. `max_cores` and
    `max_memory_mib` are what the machine can get while it runs, where the hypervisor has to know that from the start.

    `template` is the system id or host name of a machine whose disks the new one begins with copies of. Then 0 cores,
    0 MiB, no `storage` and no `interfaces` mean those of the template, and its disks are copied to `storage_pool`
    (empty: each to its own).

    The machine belongs to the caller, or to the account `owner`, once it exists. With `stock` it belongs to nobody:
    operators of its resource pool may allocate it until somebody has used it.

    `register_in_maas` is the name of the MAAS server that the machine is registered in once it is composed.
    """

    host_id: int | None = None
    cores: int = 1
    memory_mib: int = 2048
    architecture: str | None = None
    storage: str = ""
    interfaces: str = ""
    hostname: str | None = None
    zone: str | None = None
    pool: str | None = None
    pinned_cores: tuple[int, ...] = ()
    pin_cores: int | None = None
    huge_pages_backed: bool = False
    huge_page_size_mib: int | None = None
    one_numa_node: bool = False
    power_on: bool = False
    affinity: tuple[str, ...] = ()
    anti_affinity: tuple[str, ...] = ()
    max_cores: int | None = None
    max_memory_mib: int | None = None
    uefi: bool = False
    secure_boot: bool = False
    tpm: bool = False
    template: str | None = None
    storage_pool: str = ""
    register_in_maas: str | None = None
    owner: str | None = None
    stock: bool = False
