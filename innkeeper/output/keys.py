"""The meaning of the API's keys in tables, and columns by key. Keys without an entry are shown as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve

from innkeeper.output.columns import (
    COUNT,
    DURATION,
    GB,
    GB_OF_MB,
    GIB_OF_BYTES,
    GIB_OF_MIB,
    KB_PER_S_OF_BYTES,
    PER_CENT,
    RATIO,
    WHOLE_GB,
    Column,
    column,
)


def _keys(text: str, **more: Any) -> Iterator[Column]:
    """Keys that differ from others by their heading after `=`, and by `more`."""
    for word in text.split():
        key, _, heading = word.partition("=")
        yield column(key, heading.replace("_", " "), **more)


KEYS: Mapping[str, Column] = {
    one.key: one
    for one in (
        *_keys(
            "alloc_type_name=type api_key_name=API_key by_login=login certificate_expires_at=expires class_type=class "
            "cluster_name=cluster created_at=created end_ip=end expires_at=expires finished_at=finished "
            "gateway_ip=gateway host_name=host id_path=path_in_the_guest identifier=name interface=attached_to "
            "ip_addresses=addresses is_default=default is_superuser=administrator issued_at=issued joined_at=joined "
            "last_rejected_at=last_rejected last_used_at=last_used links=address object_name=name parent_id=opened_by "
            "pod.name=host pod=host power_state=power refreshed_at=refreshed removed_at=removed repair_policy=repair "
            "seen_at=last_seen sent_at=sent signature_method=signature start_ip=start started_at=started "
            "host_unreachable_since=host_away_since power_state_since=power_since wanted_power.state=should_be "
            "wanted_power.since=should_be_so_since wanted_power.set_by=set_by wanted_power.user=set_by_user "
            "status_name=status stolen_at=reported_stolen storage_pool_name=storage_pool subnet.cidr=subnet "
            "tag_names=tags username=user vm_host.name=on wait_reason=waits_for"
        ),
        *_keys("age_s=age silent_s=silent", unit=DURATION),
        *_keys("attempt effective_mtu=mtu guests hosts hosts_reached hosts_unreached servers", unit=COUNT),
        *_keys("cpu_count=cores num_addresses=addresses vm_count=VMs vmhost_count=hosts", unit=COUNT),
        *_keys("rejections", usual=0),
        *_keys("reserved_cores unreachable", unit=COUNT, usual=0),
        *_keys("size total capacity.free=free pending_size=at_next_start", unit=GB),
        *_keys("virtual_size=disk", unit=GIB_OF_BYTES),
        *_keys("received", unit=GIB_OF_BYTES, of="size"),
        *_keys("memory", unit=GIB_OF_MIB),
        *_keys("memory_used", unit=GIB_OF_MIB, of="memory"),
        *_keys("cpu_percent=CPU disk_full_percent=disk_full", unit=PER_CENT),
        *_keys("disk_read disk_written network_received network_sent", unit=KB_PER_S_OF_BYTES),
        *_keys("reserved_memory", unit=GIB_OF_MIB, usual=0),
        *_keys("storage", unit=GB_OF_MB),
        *_keys("cpu_over_commit_ratio=core_ratio", unit=RATIO, usual=1.0, short="×CPU"),
        *_keys("memory_over_commit_ratio=memory_ratio", unit=RATIO, usual=1.0, short="×RAM"),
        # Of hosts whose capacity is not known yet, and for `--columns` and `--sort`.
        *_keys("used.cores", unit=COUNT, of="total.cores", unless="capacity"),
        *_keys("used.memory", unit=GIB_OF_MIB, of="total.memory", unless="capacity"),
        *_keys("used.local_storage=storage", unit=WHOLE_GB, of="total.local_storage", unless="capacity"),
        *_keys("capacity.cores.free=free_cores", unit=COUNT, of="capacity.cores.claimable", short="CPU"),
        *_keys(
            "capacity.memory_mib.free=free_memory", unit=GIB_OF_MIB, of="capacity.memory_mib.claimable", short="GiB"
        ),
        *_keys(
            "capacity.storage_bytes.free=free_storage", unit=WHOLE_GB, of="capacity.storage_bytes.claimable", short="GB"
        ),
        *_keys("guest_name=guest", same_as="hostname"),
        *_keys("autostart", usual="default"),
        *_keys("strategy", usual=""),  # that of the region
        *_keys("path", usual="Unknown"),  # LXD does not say
        *_keys("cancel_requested data_at_risk default discovered locked lost request_id", usual=False),
        *_keys("all_zones is_active=active managed", usual=True),
        *_keys("description details.error error error_description=error expected found maintenance", prose=True),
        *_keys("message notes reason reasons remedy repaired unmet", prose=True),
    )
}


def columns(*parts: str | Column) -> tuple[Column, ...]:
    """Returns columns in this order. A text names keys, such as `id:0 hostname=machine:2 zone`.

    The number is the rank, 1 if there is none; a name after `=` is a heading instead of that of KEYS.
    """
    found: list[Column] = []
    for part in parts:
        found += [part] if isinstance(part, Column) else map(_named, part.split())
    return tuple(found)


def _named(word: str) -> Column:
    name, _, rank = word.partition(":")
    key, _, heading = name.partition("=")
    known = KEYS.get(key) or column(key)
    return evolve(known, title=heading.replace("_", " ") or known.title, rank=int(rank or 1))
