-- A deployed machine that is a VM host itself.

alter table vm_host add column machine_id integer unique references machine;
comment on column vm_host.machine_id is 'The machine that runs this host. It is neither released nor deleted before the host is removed.';

alter table deployment
    add column vm_host_driver text check (vm_host_driver in ('lxd', 'virsh')),
    add column vm_host_public text,
    add column sealed_vm_host_key bytea,
    add column vm_host_report jsonb;
comment on column deployment.vm_host_driver is 'The machine becomes a VM host of this driver when it is deployed.';
comment on column deployment.vm_host_public is 'What that host trusts: a certificate, or an SSH public key.';
comment on column deployment.sealed_vm_host_key is 'The private key for it; deleted when the deployment ends.';
comment on column deployment.vm_host_report is 'A VmHostReport: what the guest says of the hypervisor.';
