-- The deletion of a NIC, and a change of its link, look for its addresses.
create index ip_address_nic_id_idx on ip_address (nic_id);
