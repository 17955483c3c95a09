-- usable by releases that know 0001

alter table vm_host add column default_network text not null default '';
comment on column vm_host.default_network is
    'Name of the interface that a NIC without constraints gets. Empty: chosen by placement.';
