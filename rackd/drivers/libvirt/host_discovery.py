"""Discovers a libvirt host and finds single guests, with what is kept between the runs of one connection."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from common.hosts.discovery import Discovery
from common.values import (
    Guest,
    GuestRef,
    PowerState,
)
from rackd.drivers.libvirt.connection.client import BulkDomain, Client
from rackd.drivers.libvirt.definitions.domain_config import has_connected_agent
from rackd.drivers.libvirt.definitions.domain_xml import DomainCapabilities
from rackd.drivers.libvirt.definitions.host_traits import HostTraits, traits_of
from rackd.drivers.libvirt.guests import lookup
from rackd.drivers.libvirt.guests.disks import orphaned_volumes
from rackd.drivers.libvirt.guests.removal_facts import RemovalInventory, Storage
from rackd.drivers.libvirt.inventory import facts, guests, image_copies
from rackd.drivers.libvirt.inventory.domain_cache import DomainCache, DomainConfigs
from rackd.drivers.libvirt.inventory.guest_agents import GuestAgents
from rackd.drivers.libvirt.inventory.image_copies import ImageInventory
from rackd.drivers.libvirt.inventory.leases import ServedNetworks, with_leases
from rackd.drivers.libvirt.inventory.node_devices import host_nics_of
from rackd.drivers.libvirt.inventory.pool_paths import PoolPaths
from rackd.drivers.libvirt.inventory.saved_guests import with_saved_sizes
from rackd.drivers.libvirt.inventory.volume_disks import VolumeDisks
from rackd.drivers.libvirt.xml import text_at


class HostDiscovery:
    """Belongs to one driver, and is used by its thread."""

    def __init__(self, installation_id: UUID, *, reread_domains: int) -> None:
        self._installation_id = installation_id
        self._reread_domains = reread_domains
        self._agents = GuestAgents()
        self._images = ImageInventory()
        self._removal = RemovalInventory()
        self._domain_cache: tuple[Client, DomainCache] | None = None
        self._capabilities: tuple[Client, HostTraits, DomainCapabilities] | None = None

    def discover(self, client: Client) -> Discovery:
        calls_before = client.calls
        cache = self.cache_of(client)
        responses = client.host()
        pools, problems = facts.pools_of(responses)
        domains = client.all_domains()
        cached = cache.refresh(domains)
        names = client.volume_names({text_at(pool, "uuid") for pool in pools})
        paths = PoolPaths.of((*pools, *facts.inactive_pools_of(responses)))
        listing = guests.listing(
            VolumeDisks(client, paths).completed(domains, cached),
            paths,
            self._installation_id,
            cached.configs,
            host_nics_of(responses),
            names,
        )
        saved = with_saved_sizes(listing.guests, client.saved_domains())
        listed = self._removal.find(
            client, saved, cached.configs, Storage.of(pools, facts.inactive_pools_of(responses))
        )
        copies = self._images.find(client, names)
        used_bytes = image_copies.added(listing.used_bytes, copies)
        volumes = names if _all_known(domains, cached) else {}
        _, capabilities = self.capabilities_of(client, traits_of(responses))
        return Discovery(
            facts=facts.facts_of(responses, pools, used_bytes, uefi_firmware=capabilities.firmware_efi),
            guests=self._agents.with_addresses(
                client,
                with_leases(client, listed, ServedNetworks.of(responses.networks)),
                {uuid for uuid, config in cached.configs.items() if config.agent_connected},
            ),
            problems=(*problems, *cached.problems, *listing.problems),
            calls=client.calls - calls_before,
            orphaned_volumes=orphaned_volumes.find(volumes, cached.configs.values()),
            inspected_pools=tuple(sorted(volumes)),
            image_copies=copies,
            image_pools=tuple(sorted(names)),
        )

    def cache_of(self, client: Client) -> DomainCache:
        """Returns a cache that lives as long as the connection, whose events it needs."""
        if self._domain_cache is None or self._domain_cache[0] is not client:
            self._domain_cache = client, DomainCache(client, reread_domains=self._reread_domains)
        return self._domain_cache[1]

    def find(self, client: Client, guest: GuestRef) -> Guest | None:
        domain = lookup.marked_domain(client, guest)
        if domain is None:
            return None
        found = self._removal.update(client, lookup.read_guest(client, domain), domain)
        if found.power is not PowerState.ON:
            return found
        leased = with_leases(client, [found], ServedNetworks.of(client.networks()))
        connected = {domain.uuid} if has_connected_agent(lookup.tree_of(domain)) else set()
        return self._agents.with_addresses(client, leased, connected)[0]

    def capabilities_of(
        self, client: Client, traits: HostTraits | None = None
    ) -> tuple[HostTraits, DomainCapabilities]:
        """Reads them once per connection: they change only with the host's software."""
        if self._capabilities is None or self._capabilities[0] is not client:
            traits = traits or traits_of(client.host())
            xml = client.domain_capabilities(traits.kernel_architecture, traits.domain_type)
            self._capabilities = client, traits, DomainCapabilities.of(xml, traits)
        return self._capabilities[1:]


def _all_known(domains: Iterable[BulkDomain], cached: DomainConfigs) -> bool:
    """False if any domain's XML is unknown, because that domain may use any volume."""
    return all(domain.uuid in cached.configs or domain.uuid in cached.deleted for domain in domains)
