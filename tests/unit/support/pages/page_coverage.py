"""Which page offers each request of the API, and why some requests have none.

A new endpoint needs an entry. `test_page_coverage` proves each: by the code of the page that is named here.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from common.words.operation_kinds import words_of
from regiond.machines.hardware.hardware_kinds import KINDS


@frozen
class Shown:
    """Offered by the page at this address. It makes the request with the endpoint, or reads with `reads`.

    `reads` is the method of a service, `hosts.read`, or one of the API's lookups, `find_host`.
    """

    page: str
    reads: str | None = None


SAME = "the same objects under another path, for clients of MAAS"
MAAS = "for clients of MAAS, which expect it; it tells nothing that pages do not show"
NO_EFFECT = "changes nothing in Innkeeper, or is refused: for clients of MAAS"
PROGRAMS = "for programs: pages have their own way"
GUESTS = "for guests and hypervisors, which call it by themselves"
SUMMED_UP = "a page shows the same with another of its requests"

# Resources of which no endpoint has a page.
RESOURCES_WITHOUT: Mapping[str, str] = {
    "pods/": SAME,
    "pods/{id}/": SAME,
    "pools/": SAME,
    "nodes/": SAME,
    "nodes/{system_id}/": SAME,
    "fabrics/{fabric_id}/vlans/{vid}/": SAME,
    "virtual-machines/": SAME,
    "virtual-machines/{id}": SAME,
    "rackcontrollers/": SAME,
    "rackcontrollers/{system_id}/": SAME,
    "regioncontrollers/": SAME,
    "regioncontrollers/{system_id}/": SAME,
    "events/stream": PROGRAMS,
    "vmhost-certificate/{name}": GUESTS,
    "report/{id}/{secret}": GUESTS,
    "report/{id}/{secret}/user-data": GUESTS,
    "report/{id}/{secret}/vm-host": GUESTS,
    "webhook/{id}/query": "for MAAS, which calls it by itself",
    "webhook/{id}/{action}": "for MAAS, which calls it by itself",
    "accounts/authenticate/": PROGRAMS,
}

WITHOUT: Mapping[str, str] = {
    "POST vm-hosts/{id}/?op=compose": SUMMED_UP,  # compose with `host`
    "POST machines/?op=release": SUMMED_UP,  # bulk
    "POST machines/?op=allocate": SUMMED_UP,  # to deploy a ready VM allocates it
    "GET machines/?op=list_allocated": SUMMED_UP,  # the list with a filter
    "POST machines/?op=set_zone": SUMMED_UP,  # bulk, and the form of a VM
    "GET machines/?op=is_registered": PROGRAMS,
    "GET maas/?op=get_config": MAAS,
    "GET account/columns/": SUMMED_UP,  # each list shows its own
    "GET machines/?op=power_parameters": MAAS,
    "GET machines/{system_id}/?op=query_power_state": SUMMED_UP,  # pages follow what the host reports
    "GET machines/{system_id}/?op=details": MAAS,
    "GET machines/{system_id}/?op=power_parameters": MAAS,
    "GET machines/{system_id}/?op=get_token": MAAS,
    "POST nodes/{system_id}/interfaces/{id}/?op=add_tag": SUMMED_UP,  # all tags of a NIC are one field
    "POST nodes/{system_id}/interfaces/{id}/?op=remove_tag": SUMMED_UP,
    "POST nodes/{system_id}/blockdevices/": SUMMED_UP,  # add_disk
    "PUT nodes/{system_id}/blockdevices/{id}/": SUMMED_UP,  # grow_disk
    "DELETE nodes/{system_id}/blockdevices/{id}/": SUMMED_UP,  # remove_disk
    "GET kept-disks/{id}/": SUMMED_UP,  # the list of a host
    "GET exports/{id}/": SUMMED_UP,  # the list
    "GET exports/{id}/?op=download": SUMMED_UP,  # settings/exports/<export>/download
    "POST exports/": PROGRAMS,
    "PUT exports/{id}/upload/": PROGRAMS,
    "POST devices/?op=set_zone": SUMMED_UP,  # the form of a device
    "GET devices/?op=is_registered": PROGRAMS,
    "GET devices/{system_id}/?op=details": MAAS,
    "GET devices/{system_id}/?op=power_parameters": MAAS,
    "GET boot-resources/?op=is_importing": SUMMED_UP,
    "GET events/?op=stream": PROGRAMS,
    "GET tags/{name}/?op=nodes": SUMMED_UP,
    "GET tags/{name}/?op=devices": NO_EFFECT,
    "GET tags/{name}/?op=rack_controllers": NO_EFFECT,
    "GET tags/{name}/?op=region_controllers": NO_EFFECT,
    "POST tags/{name}/?op=rebuild": NO_EFFECT,
    "POST domains/{id}/?op=set_default": NO_EFFECT,
    "POST account/prefs/sshkeys/?op=import": NO_EFFECT,
    "GET files/?op=get_by_key": PROGRAMS,
}

_TABS = ("storage", "network")  # of a VM: a form below it asks for each of their kinds, listed here by hand
_FORMS: Mapping[str, Shown] = {
    f"POST machines/{{system_id}}/?op={one.kind}": Shown(f"vms/<system_id>/{page}")
    for one in KINDS
    if (page := words_of(one.kind).page) and page not in _TABS
}
OFFERED: Mapping[str, Shown] = {
    **_FORMS,
    "GET version/": Shown("about", "racks.regions"),
    # Hosts
    "GET vm-hosts/": Shown("hosts", "hosts.long_list"),
    "POST vm-hosts/": Shown("hosts/add"),
    "POST vm-hosts/?op=place": Shown("compose/preview"),
    "POST vm-hosts/?op=compose": Shown("compose"),
    "GET vm-hosts/?op=capacity": Shown("pools", "hosts.capacity"),
    "GET vm-hosts/{id}/": Shown("hosts/<host>/vms", "hosts.long_list"),
    "PUT vm-hosts/{id}/": Shown("hosts/<host>/settings"),
    "DELETE vm-hosts/{id}/": Shown("hosts/<host>/remove"),
    "POST vm-hosts/{id}/?op=refresh": Shown("hosts/<host>/refresh"),
    "GET vm-hosts/{id}/?op=parameters": Shown("hosts/<host>/settings", "hosts.parameters"),
    "POST vm-hosts/{id}/?op=rotate": Shown("hosts/<host>/trust"),
    "GET vm-hosts/{id}/?op=projects": Shown("hosts/add", "hosts.projects"),
    "GET vm-hosts/{id}/?op=numa": Shown("hosts/<host>/resources", "hosts.numa"),
    "POST vm-hosts/{id}/?op=adopt": Shown("hosts/<host>/adopt"),
    "POST vm-hosts/{id}/?op=add_tag": Shown("hosts/bulk"),
    "POST vm-hosts/{id}/?op=remove_tag": Shown("hosts/bulk"),
    "POST vm-hosts/{id}/?op=trust": Shown("hosts/<host>/trust"),
    "POST vm-hosts/{id}/?op=confirm_server": Shown("hosts/<host>/trust"),
    "POST vm-hosts/{id}/?op=maintenance": Shown("hosts/<host>/maintenance"),
    "POST vm-hosts/{id}/?op=end_maintenance": Shown("hosts/<host>/maintenance"),
    "GET vm-hosts/{id}/?op=guests": Shown("hosts/<host>/vms", "hosts.long_list_of_guests"),
    "GET vm-clusters/": Shown("clusters", "clusters.list"),
    "GET vm-clusters/{id}": Shown("clusters/<cluster>/resources", "find_cluster"),
    "PUT vm-clusters/{id}": Shown("clusters/<cluster>/settings"),
    "DELETE vm-clusters/{id}": Shown("clusters/<cluster>/remove"),
    "POST vm-clusters/{id}?op=maintenance": Shown("clusters/<cluster>/maintenance"),
    "POST vm-clusters/{id}?op=end_maintenance": Shown("clusters/<cluster>/maintenance"),
    # VMs
    "GET machines/": Shown("vms", "machines.page"),
    "POST machines/?op=bulk": Shown("vms/bulk"),
    "GET machines/{system_id}/": Shown("vms/<system_id>", "machines.read"),
    "DELETE machines/{system_id}/": Shown("vms/<system_id>/delete"),
    "POST machines/{system_id}/?op=power_on": Shown("vms/<system_id>/act"),
    "POST machines/{system_id}/?op=power_off": Shown("vms/<system_id>/act"),
    "POST machines/{system_id}/?op=power_cycle": Shown("vms/<system_id>/act"),
    "PUT machines/{system_id}/": Shown("vms/<system_id>/edit"),
    "POST machines/{system_id}/?op=release": Shown("vms/<system_id>/release"),
    "POST machines/{system_id}/?op=set_owner_data": Shown("vms/<system_id>/owner-data"),
    "POST machines/{system_id}/?op=mark_broken": Shown("vms/<system_id>/act"),
    "POST machines/{system_id}/?op=accept_off": Shown("vms/<system_id>/act"),
    "POST machines/{system_id}/?op=mark_fixed": Shown("vms/<system_id>/act"),
    "POST machines/{system_id}/?op=lock": Shown("vms/<system_id>/act"),
    "POST machines/{system_id}/?op=unlock": Shown("vms/<system_id>/act"),
    "POST machines/{system_id}/?op=deploy": Shown("vms/<system_id>/deploy"),
    "POST machines/{system_id}/?op=rebuild": Shown("vms/<system_id>/rebuild"),
    "POST machines/{system_id}/?op=clone": Shown("vms/<system_id>/clone"),
    "POST machines/{system_id}/?op=abort": Shown("vms/<system_id>/abort"),
    "GET machines/{system_id}/?op=console_log": Shown("vms/<system_id>/console", "consoles.log"),
    "GET machines/{system_id}/?op=console": Shown("vms/<system_id>/console", "consoles.log"),
    "GET machines/{system_id}/?op=screen": Shown("vms/<system_id>/screen", "machines.read"),
    "GET tags/{name}/?op=machines": Shown("vms", "machines.page"),
    "POST machines/{system_id}/?op=commission": Shown("vms/<system_id>/act"),
    "POST machines/{system_id}/?op=set_workload_annotations": Shown("vms/<system_id>/annotations"),
    "POST machines/{system_id}/?op=clear_default_gateways": Shown("vms/<system_id>/network"),
    "GET machines/?op=detached": Shown("vms/former", "adoption.detached"),
    "GET machines/?op=forgotten": Shown("vms/former", "adoption.forgotten"),
    "POST nodes/{system_id}/interfaces/{id}/?op=disconnect": Shown("vms/<system_id>/network/<nic>/unlink"),
    "POST nodes/{system_id}/interfaces/{id}/?op=set_default_gateway": Shown("vms/<system_id>/network/<nic>"),
    "POST nodes/{system_id}/blockdevices/{id}/?op=add_tag": Shown("vms/<system_id>/storage/<disk>"),
    "POST nodes/{system_id}/blockdevices/{id}/?op=remove_tag": Shown("vms/<system_id>/storage/<disk>"),
    "POST machines/{system_id}/?op=forget": Shown("hosts/<host>/forget"),
    "GET nodes/{system_id}/interfaces/": Shown("vms/<system_id>", "machines.read"),
    "GET nodes/{system_id}/interfaces/{id}/": Shown("vms/<system_id>", "machines.read"),
    "GET machines/{system_id}/?op=usage": Shown("vms/<system_id>", "usages.of_machine"),
    "POST machines/{system_id}/?op=register_in_maas": Shown("vms/<system_id>/maas"),
    "POST machines/{system_id}/?op=unregister_from_maas": Shown("vms/<system_id>/maas"),
    "POST machines/{system_id}/?op=add_disk": Shown("vms/<system_id>/storage/add"),
    "POST machines/{system_id}/?op=adopt_disk": Shown("vms/<system_id>/storage/<disk>/adopt"),
    "POST machines/{system_id}/?op=attach_disk": Shown("vms/<system_id>/storage/attach"),
    "POST machines/{system_id}/?op=grow_disk": Shown("vms/<system_id>/storage/<disk>/grow"),
    "POST machines/{system_id}/?op=move_disk": Shown("vms/<system_id>/storage/<disk>/move"),
    "POST machines/{system_id}/?op=remove_disk": Shown("vms/<system_id>/storage/<disk>/remove"),
    "POST machines/{system_id}/?op=add_interface": Shown("vms/<system_id>/network/add"),
    "POST machines/{system_id}/?op=change_interface": Shown("vms/<system_id>/network/<nic>/change"),
    "POST machines/{system_id}/?op=remove_interface": Shown("vms/<system_id>/network/<nic>/remove"),
    "GET exports/": Shown("settings/exports", "exports.list"),
    "POST vm-hosts/{id}/?op=import": Shown("settings/exports/<export>/import"),
    "DELETE exports/{id}/": Shown("settings/exports/<export>/delete"),
    "GET kept-disks/": Shown("hosts/<host>/resources", "kept_disks.list"),
    "DELETE kept-disks/{id}/": Shown("hosts/<host>/kept-disks/<disk>/delete"),
    "POST nodes/{system_id}/blockdevices/{id}/?op=set_boot_disk": Shown("vms/<system_id>/storage/<disk>/boot"),
    "GET nodes/{system_id}/blockdevices/": Shown("vms/<system_id>", "machines.read"),
    "GET nodes/{system_id}/blockdevices/{id}/": Shown("vms/<system_id>", "machines.read"),
    # Devices
    "POST nodes/{system_id}/interfaces/?op=create_physical": Shown("networks/devices/<id>/nics/add"),
    "DELETE nodes/{system_id}/interfaces/{id}/": Shown("networks/devices/<id>/nics/<nic>/delete"),
    "PUT nodes/{system_id}/interfaces/{id}/": Shown("networks/devices/<id>/nics/<nic>/edit"),
    "POST nodes/{system_id}/interfaces/{id}/?op=link_subnet": Shown("networks/devices/<id>/nics/<nic>/link"),
    "POST nodes/{system_id}/interfaces/{id}/?op=unlink_subnet": Shown("networks/devices/<id>/nics/<nic>/unlink"),
    "GET devices/": Shown("networks/devices", "devices.list"),
    "POST devices/": Shown("networks/devices/add"),
    "GET devices/{system_id}/": Shown("networks/devices/<id>", "devices.read"),
    "PUT devices/{system_id}/": Shown("networks/devices/<id>/edit"),
    "DELETE devices/{system_id}/": Shown("networks/devices/<id>/delete"),
    "POST devices/{system_id}/?op=set_owner_data": Shown("networks/devices/<id>/owner-data"),
    # Images
    "GET boot-resources/": Shown("settings/images", "images.list"),
    "POST maas/?op=set_config": Shown("settings/images/<image>/default"),
    "POST boot-resources/": Shown("settings/new-image/<way>"),
    "POST boot-resources/?op=import": Shown("settings/new-image/<way>"),
    "GET boot-resources/{id}/": Shown("settings/image-upload/<image>"),
    "DELETE boot-resources/{id}/": Shown("settings/images/<image>/delete"),
    "PUT boot-resources/{id}/upload/{file_id}/": Shown("settings/image-upload/<image>"),
    # What happens and happened
    "GET operations/": Shown("tasks", "operations.list"),
    "GET operations/{id}/": Shown("tasks/<task>", "operations.read"),
    "POST operations/{id}/?op=cancel": Shown("tasks/<task>/cancel"),
    "POST operations/{id}/?op=abandon": Shown("tasks/<task>/abandon"),
    "GET events/?op=query": Shown("events", "events.list"),
    "GET audit/": Shown("settings/audit", "audit.list"),
    "GET audit/?op=export": Shown("settings/audit/export", "audit.export"),
    "GET audit/?op=verify": Shown("settings/audit/verify", "audit.verify"),
    "POST audit/?op=redact": Shown("settings/audit/redact"),
    "GET attention/": Shown("attention", "attention.groups"),
    "GET attention/?op=counts": Shown("attention", "attention.counts"),
    "GET discrepancies/": Shown("settings/discrepancies", "reconciler.check"),
    "GET discrepancies/?op=repaired": Shown("settings/discrepancies", "reconciler.recent_repairs"),
    "GET discrepancies/{id}/": Shown("settings/discrepancies/<number>", "reconciler.read"),
    "POST discrepancies/{id}/?op=approve": Shown("settings/discrepancies/<number>"),
    # Groups
    "GET zones/": Shown("pools", "groups.zones"),
    "POST zones/": Shown("zones/add"),
    "GET zones/{name}/": Shown("zones/<id>"),
    "PUT zones/{name}/": Shown("zones/<id>"),
    "DELETE zones/{name}/": Shown("zones/<id>/delete"),
    "GET resourcepools/": Shown("pools", "groups.pools"),
    "POST resourcepools/": Shown("pools/add"),
    "GET resourcepools/?op=grants": Shown("settings/roles", "grants.list"),
    "GET resourcepool/{id}/": Shown("pools/<id>"),
    "PUT resourcepool/{id}/": Shown("pools/<id>"),
    "DELETE resourcepool/{id}/": Shown("pools/<id>/delete"),
    "GET resourcepool/{id}/?op=grants": Shown("settings/roles", "grants.list"),
    "POST resourcepool/{id}/?op=grant": Shown("settings/roles"),
    "POST resourcepool/{id}/?op=revoke": Shown("settings/roles/<pool>/<username>/revoke"),
    "GET maas-servers/": Shown("settings/maas", "maas_servers.list"),
    "POST maas-servers/": Shown("settings/new-maas"),
    "GET maas-servers/{name}/": Shown("settings/maas/<id>"),
    "PUT maas-servers/{name}/": Shown("settings/maas/<id>"),
    "POST maas-servers/{name}/?op=check": Shown("settings/maas/<id>/check"),
    "DELETE maas-servers/{name}/": Shown("settings/maas/<id>/delete"),
    "GET maas-imports/": Shown("settings/maas-imports", "maas_imports.list"),
    "POST maas-imports/": Shown("settings/new-maas-import"),
    "GET maas-imports/{id}/": Shown("settings/maas-imports/<import>", "maas_imports.read"),
    "GET maas-imports/{id}/?op=plan": Shown("settings/maas-imports/<import>", "maas_imports.plan"),
    "POST maas-imports/{id}/?op=apply": Shown("settings/maas-imports/<import>"),
    "GET maas-imports/{id}/?op=differences": Shown("settings/maas-imports/<import>", "maas_comparisons.last"),
    "POST maas-imports/{id}/?op=compare": Shown("settings/maas-imports/<import>/compare"),
    "POST vm-hosts/{id}/?op=take_over": Shown("settings/maas-imports/<import>/hosts/<host>/take-over"),
    "POST vm-hosts/{id}/?op=give_back": Shown("settings/maas-imports/<import>/hosts/<host>/give-back"),
    "DELETE maas-imports/{id}/": Shown("settings/maas-imports/<import>/delete"),
    "GET tags/": Shown("settings/tags", "tags.list"),
    "POST tags/": Shown("settings/new-tag"),
    "GET tags/{name}/": Shown("settings/tags/<id>"),
    "PUT tags/{name}/": Shown("settings/tags/<id>"),
    "DELETE tags/{name}/": Shown("settings/tags/<id>/delete"),
    "POST tags/{name}/?op=update_nodes": Shown("settings/tags/<id>/put"),
    "GET quotas/": Shown("settings/quotas", "quotas.list"),
    "POST quotas/": Shown("settings/new-quota"),
    "GET quotas/{id}/": Shown("settings/quotas/<id>"),
    "PUT quotas/{id}/": Shown("settings/quotas/<id>"),
    "DELETE quotas/{id}/": Shown("settings/quotas/<id>/delete"),
    # Networks
    "GET fabrics/": Shown("networks", "networks.fabrics"),
    "POST fabrics/": Shown("networks/fabrics/add"),
    "GET fabrics/{id}/": Shown("networks", "networks.fabrics"),
    "PUT fabrics/{id}/": Shown("networks/fabrics/<id>/edit"),
    "DELETE fabrics/{id}/": Shown("networks/fabrics/<id>/delete"),
    "GET fabrics/{fabric_id}/vlans/": Shown("networks", "networks.fabrics"),
    "POST fabrics/{fabric_id}/vlans/": Shown("networks/vlans/add"),
    "GET vlans/{id}/": Shown("networks", "networks.fabrics"),
    "PUT vlans/{id}/": Shown("networks/vlans/<id>/edit"),
    "DELETE vlans/{id}/": Shown("networks/vlans/<id>/delete"),
    "GET subnets/": Shown("networks", "networks.subnets"),
    "POST subnets/": Shown("networks/subnets/add"),
    "GET subnets/{id}/": Shown("networks/subnets/<subnet>", "networks.subnet"),
    "PUT subnets/{id}/": Shown("networks/subnets/<id>/edit"),
    "DELETE subnets/{id}/": Shown("networks/subnets/<id>/delete"),
    "GET subnets/{id}/?op=reserved_ip_ranges": Shown("networks/subnets/<subnet>", "networks.used_addresses"),
    "GET subnets/{id}/?op=unreserved_ip_ranges": Shown("networks/subnets/<subnet>", "networks.ranges"),
    "GET subnets/{id}/?op=statistics": Shown("networks/subnets/<subnet>", "networks.used_addresses"),
    "GET subnets/{id}/?op=ip_addresses": Shown("networks/subnets/<subnet>", "networks.used_addresses"),
    "GET spaces/": Shown("networks", "networks.spaces"),
    "POST spaces/": Shown("networks/spaces/add"),
    "GET spaces/{id}/": Shown("networks", "networks.spaces"),
    "PUT spaces/{id}/": Shown("networks/spaces/<id>/edit"),
    "DELETE spaces/{id}/": Shown("networks/spaces/<id>/delete"),
    "GET ipranges/": Shown("networks", "networks.ranges"),
    "POST ipranges/": Shown("networks/ranges/add"),
    "GET ipranges/{id}/": Shown("networks", "networks.ranges"),
    "PUT ipranges/{id}/": Shown("networks/ranges/<id>/edit"),
    "DELETE ipranges/{id}/": Shown("networks/ranges/<id>/delete"),
    "GET domains/": Shown("networks/dns", "dns.domains"),
    "POST domains/": Shown("networks/dns/add"),
    "GET domains/{id}/": Shown("networks/dns/<id>", "dns.domain"),
    "PUT domains/{id}/": Shown("networks/dns/<id>/edit"),
    "DELETE domains/{id}/": Shown("networks/dns/<id>/delete"),
    "GET domains/{id}/?op=zone_file": Shown("networks/dns/<id>/zone"),
    "GET dnsresources/": Shown("networks/dns/<id>", "dns.names"),
    "POST dnsresources/": Shown("networks/dns-names/add"),
    "GET dnsresources/{id}/": Shown("networks/dns-names/<id>/edit"),
    "PUT dnsresources/{id}/": Shown("networks/dns-names/<id>/edit"),
    "DELETE dnsresources/{id}/": Shown("networks/dns-names/<id>/delete"),
    # The region and its people
    "GET regions/": Shown("about", "racks.regions"),
    "GET vm-hosts/{id}/?op=usage": Shown("hosts/<host>/resources", "usages.of_host"),
    "GET vm-hosts/{id}/?op=racks": Shown("hosts/<host>/vms", "racks.of_host"),
    "GET racks/": Shown("settings/racks", "racks.list"),
    "POST racks/?op=token": Shown("settings/racks/token"),
    "GET racks/{id}/": Shown("settings/racks/<rack>", "find_rack"),
    "PUT racks/{id}/": Shown("settings/racks/<rack>/zones"),
    "POST racks/{id}/?op=report_stolen": Shown("settings/racks/<rack>/stolen"),
    "DELETE racks/{id}/": Shown("settings/racks/<rack>/remove"),
    "GET rpc-clients/": Shown("account/clients", "rpc_clients.list"),
    "POST rpc-clients/": Shown("account/clients"),
    "DELETE rpc-clients/{name}/": Shown("account/clients/<name>/revoke"),
    "GET users/": Shown("settings/users", "users.list"),
    "GET users/?op=whoami": Shown("account", "grants.list"),
    "POST users/": Shown("settings/new-user"),
    "GET users/{username}/": Shown("settings/users/<id>"),
    "PUT users/{username}/": Shown("settings/users/<id>"),
    "DELETE users/{username}/": Shown("settings/users/<id>/delete"),
    "POST account/?op=create_authorisation_token": Shown("account/keys"),
    "POST account/?op=delete_authorisation_token": Shown("account/keys/<token_key>/delete"),
    "POST account/?op=update_token_name": Shown("account/keys/<token_key>/rename"),
    "POST account/?op=change_password": Shown("account/password"),
    "GET account/?op=list_authorisation_tokens": Shown("account/keys", "accounts.list_keys"),
    "GET account/sessions/": Shown("account/sessions", "sessions.list"),
    "DELETE account/sessions/{id}/": Shown("account/sessions/<number>/end"),
    "GET account/filters/": Shown("account/filters", "lists.filters"),
    "POST account/filters/": Shown("account/filters/add"),
    "GET account/filters/{id}/": Shown("account/filters/<filter>", "lists.read_filter"),
    "PUT account/filters/{id}/": Shown("account/filters/<filter>"),
    "DELETE account/filters/{id}/": Shown("account/filters/<filter>/delete"),
    "GET account/columns/{list}/": Shown("vms", "lists.columns_of"),
    "PUT account/columns/{list}/": Shown("lists/<list>/columns"),
    "DELETE account/columns/{list}/": Shown("lists/<list>/columns"),
    "GET account/prefs/sshkeys/": Shown("account/ssh-keys", "ssh_keys.list"),
    "POST account/prefs/sshkeys/": Shown("account/ssh-keys"),
    "GET account/prefs/sshkeys/{id}/": Shown("account/ssh-keys/<key>/delete", "ssh_keys.read"),
    "DELETE account/prefs/sshkeys/{id}/": Shown("account/ssh-keys/<key>/delete"),
    "GET files/": Shown("account/files", "files.list"),
    "POST files/": Shown("account/files"),
    "GET files/?op=get": Shown("account/files/download", "files.read"),
    "GET files/{filename}/": Shown("account/files/download", "files.read"),
    "DELETE files/{filename}/": Shown("account/files/delete"),
}
