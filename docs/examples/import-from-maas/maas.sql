--
-- A made-up MAAS 3.7 to try the import with: one host, one VM, two users. Of a real dump, other tables and columns are not read.
--

SET client_encoding = 'UTF8';

COPY public.alembic_version (version_num) FROM stdin;
0026
\.

COPY public.auth_user (id, username, email, last_name, is_superuser, is_active, password) FROM stdin;
1	MAAS		Special user	f	t	!
4	olaf	olaf@example.com	Olaf	f	t	!
5	petra	petra@example.com	Petra	f	t	!
\.

COPY public.maasserver_userprofile (user_id, is_local) FROM stdin;
1	t
4	t
5	t
\.

COPY public.maasserver_sshkey (id, user_id, key) FROM stdin;
3	4	ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC8zYSsYqotekS5HM2NXAnb46tk0bspMKa3OaSJY996+ olaf
\.

COPY public.piston3_consumer (id, name, key, user_id) FROM stdin;
\.

COPY public.piston3_token (id, key, secret, token_type, is_approved, consumer_id, user_id) FROM stdin;
\.

COPY public.maasserver_nodekey (token_id) FROM stdin;
\.

COPY public.maasserver_zone (id, name, description) FROM stdin;
1	default	
2	north	The cold side
\.

COPY public.maasserver_resourcepool (id, name, description) FROM stdin;
0	default	Pool default
\.

COPY public.maasserver_tag (id, name, definition, comment, kernel_opts) FROM stdin;
\.

COPY public.maasserver_space (id, name, description) FROM stdin;
2	storage	only inside
\.

COPY public.maasserver_fabric (id, name, class_type, description) FROM stdin;
1	storage	10g	Disks\nand backups
\.

COPY public.maasserver_vlan (id, vid, name, mtu, fabric_id, space_id, dhcp_on) FROM stdin;
5003	0	\N	9000	1	2	f
\.

COPY public.maasserver_subnet (id, cidr, name, vlan_id, gateway_ip, dns_servers, managed, allow_dns, allow_proxy, active_discovery, rdns_mode) FROM stdin;
3	172.16.0.0/16	172.16.0.0/16	5003	\N	{}	f	f	t	f	0
\.

COPY public.maasserver_iprange (id, type, start_ip, end_ip, subnet_id, comment) FROM stdin;
3	reserved	172.16.16.0	172.16.16.255	3	\N
\.

COPY public.maasserver_domain (id, name, authoritative, ttl) FROM stdin;
0	maas	t	\N
\.

COPY public.maasserver_globaldefault (domain_id) FROM stdin;
\.

COPY public.maasserver_dnsresource (id, name, domain_id, address_ttl) FROM stdin;
\.

COPY public.maasserver_dnsresource_ip_addresses (dnsresource_id, staticipaddress_id) FROM stdin;
\.

COPY public.maasserver_dnsdata (id, dnsresource_id, rrtype, rrdata, ttl) FROM stdin;
\.

COPY public.maasserver_staticipaddress (id, ip, alloc_type, subnet_id, user_id, temp_expires_on) FROM stdin;
\.

COPY public.maasserver_interface (id, node_config_id, name, type, mac_address, vlan_id, enabled, tags) FROM stdin;
\.

COPY public.maasserver_interface_ip_addresses (interface_id, staticipaddress_id) FROM stdin;
\.

COPY public.maasserver_bmc (id, bmc_type, power_type, power_parameters, name, version, architectures, capabilities, tags, zone_id, pool_id, cores, cpu_speed, memory, local_storage, cpu_over_commit_ratio, memory_over_commit_ratio, default_storage_pool_id, default_macvlan_mode, ip_address_id, created_by_commissioning, created_with_trust_password, created_with_maas_generated_cert, created_with_cert_expiration_days, created, updated) FROM stdin;
6	1	virsh	{"power_address": "test:///default"}	old-kvm		{"amd64/generic"}	{"composable"}	{}	2	0	32	2400	131072	4000000000000	1.0	1.0	61	\N	\N	f	\N	\N	\N	2026-01-15 08:00:00+00	2026-01-15 08:00:00+00
\.

COPY public.maasserver_podhints (id, pod_id, cluster_id) FROM stdin;
12	6	\N
\.

COPY public.maasserver_podhints_nodes (podhints_id, node_id) FROM stdin;
\.

COPY public.maasserver_podstoragepool (id, pod_id, name) FROM stdin;
60	6	default
61	6	fast
\.

COPY public.maasserver_vmcluster (id, name, project, zone_id, pool_id) FROM stdin;
\.

COPY public.maasserver_virtualmachine (id, bmc_id, identifier, project, unpinned_cores, pinned_cores, memory, hugepages_backed, machine_id) FROM stdin;
133	6	test		1	{}	6144	f	133
\.

COPY public.maasserver_virtualmachinedisk (id, vm_id, name, size, backing_pool_id, block_device_id) FROM stdin;
\.

COPY public.maasserver_virtualmachineinterface (vm_id, mac_address, attachment_type) FROM stdin;
\.

COPY public.maasserver_secret (path, value) FROM stdin;
\.

COPY public.maasserver_vaultsecret (path, deleted) FROM stdin;
\.

COPY public.maasserver_config (name, value) FROM stdin;
maas_name	"site"
uuid	"5b2bfa5c-44f5-4a0f-9e0a-2c6d8a3f9b10"
\.

COPY public.maasserver_node (id, system_id, hostname, node_type, domain_id, zone_id, pool_id, owner_id, status, power_state, architecture, cpu_count, memory, bmc_id, instance_power_parameters, dynamic, osystem, distro_series, hardware_uuid, locked, description, current_config_id) FROM stdin;
133	4cdnbh	shop	0	0	2	0	4	6	on	amd64/generic	1	6144	6	{"power_id": "test"}	f	ubuntu	noble	00c0ffee-0000-4000-8000-000000000020	f	The shop	133
\.

COPY public.maasserver_nodeconfig (id, node_id) FROM stdin;
133	133
\.

COPY public.maasserver_node_tags (node_id, tag_id) FROM stdin;
\.

COPY public.maasserver_ownerdata (id, node_id, key, value) FROM stdin;
\.

COPY public.maasserver_blockdevice (id, name, size, tags, node_config_id) FROM stdin;
\.

COPY public.maasserver_physicalblockdevice (blockdevice_ptr_id, serial) FROM stdin;
\.

--
-- PostgreSQL database dump complete
--

