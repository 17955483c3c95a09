-- usable by releases that know 0001

alter table guest add column secure_boot boolean;
comment on column guest.secure_boot is 'Whether the firmware starts signed systems only, as the hypervisor reports; null: unknown.';
alter table guest add column tpm boolean;
comment on column guest.tpm is 'Whether the guest has a TPM, as the hypervisor reports; null: unknown.';

alter table guest add column start_order jsonb;
comment on column guest.start_order is
    'priority and delay_s with which the guest starts with its host, as its hypervisor reports; null: it has no such order, or that is unknown.';
