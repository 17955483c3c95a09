"""VM hosts and virtual machines as MAAS shows them. Capacity that is unknown is shown as zeros without capabilities."""

from __future__ import annotations

from typing import Any

from common.values import Project
from regiond.api.encoding.groups import encode_pool, encode_zone
from regiond.api.encoding.hardware import encode_gpu, encode_network, encode_network_card
from regiond.api.encoding.operations import moment
from regiond.api.paths import host_uri, uri
from regiond.hosts.model import CAPABILITIES, Amounts, GuestView, HostView, StoragePoolView


def full_architecture(architecture: str) -> str:
    """`amd64` as clients know it: `amd64/generic`."""
    return architecture if "/" in architecture else f"{architecture}/generic"


def encode_host(host: HostView) -> dict[str, Any]:
    total = host.total or Amounts()
    used = host.used if host.total is not None else Amounts()
    return {
        "id": host.id,
        "name": host.name,
        "tags": list(host.tags),
        "type": host.driver.value,
        "architectures": [full_architecture(host.architecture)] if host.architecture else [],
        "capabilities": list(CAPABILITIES) if host.total is not None else [],
        "total": _amounts(total),
        "used": _amounts(used),
        "available": _amounts(_left(total, used)),
        "zone": encode_zone(host.zone),
        "cpu_over_commit_ratio": float(host.cpu_over_commit_ratio),
        "memory_over_commit_ratio": float(host.memory_over_commit_ratio),
        "storage_pools": [_storage_pool(pool) for pool in host.storage_pools if pool.missing_since is None],
        "pool": encode_pool(host.pool),
        "host": {"system_id": host.system_id, "__incomplete__": True},
        "default_macvlan_mode": host.default_macvlan_mode,
        "version": host.hypervisor_version or "",
        "networks": [encode_network(network) for network in host.networks],
        "network_cards": [encode_network_card(card) for card in host.network_cards],
        "gpus": [encode_gpu(gpu) for gpu in host.gpus],
        "profiles": [{"name": profile.name, "description": profile.description} for profile in host.profiles],
        "resource_uri": host_uri(host.id),
        **_standing(host),
    }


def _standing(host: HostView) -> dict[str, Any]:
    """What MAAS never told of a host: why it cannot be used now, or what of it could not be read."""
    error = None if host.error_code is None else {"code": host.error_code, "message": host.error_message or ""}
    return {
        "state": host.state.value,
        "error": error,
        "problems": [{"subject": problem.subject, "message": problem.message} for problem in host.problems],
        "refreshed_at": moment(host.refreshed_at),
        "project": host.project,
        "cluster": host.cluster_id,
        "reserved_cores": host.reserved_cores,
        "reserved_memory": host.reserved_memory_mib,
    }


def _left(total: Amounts, used: Amounts) -> Amounts:
    """Without ratios, as MAAS counts; below zero on a host that is overcommitted."""
    return Amounts(
        cores=total.cores - used.cores,
        memory_mib=total.memory_mib - used.memory_mib,
        storage_bytes=total.storage_bytes - used.storage_bytes,
    )


def _amounts(amounts: Amounts) -> dict[str, int]:
    return {"cores": amounts.cores, "memory": amounts.memory_mib, "local_storage": amounts.storage_bytes}


def _storage_pool(pool: StoragePoolView) -> dict[str, Any]:
    return {
        "id": pool.pool_key,
        "name": pool.name,
        "type": pool.type,
        "path": pool.path,
        "total": pool.total_bytes,
        "used": pool.used_bytes,
        "available": pool.total_bytes - pool.used_bytes,
        "default": pool.is_default,
    }


def encode_project(project: Project) -> dict[str, Any]:
    return {
        "name": project.name,
        "description": project.description,
        "guests": project.guests,
        "used": {
            "cores": project.cores,
            "memory": project.memory_mib,
            "local_storage": project.storage_bytes,
        },
    }


def encode_guest(guest: GuestView) -> dict[str, Any]:
    return {
        "id": guest.id,
        "identifier": guest.name,
        "project": guest.project,
        "pinned_cores": list(guest.pinned_core_ids),
        "unpinned_cores": 0 if guest.pinned_core_ids else guest.cores,
        "memory": guest.memory_mib,
        "hugepages_backed": guest.huge_pages_backed,
        "machine_id": guest.machine_id,
        "bmc_id": guest.host_id,
        "resource_uri": uri("virtual-machines", guest.id, slash=False),
    }
