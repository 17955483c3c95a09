-- usable by releases that know 0001

alter table guest add column uefi boolean;
comment on column guest.uefi is 'Whether the guest has UEFI firmware, not a BIOS, as the hypervisor reports; null: unknown.';
