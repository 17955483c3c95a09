-- usable by releases that know 0001

alter table guest add column boot_order text[];
comment on column guest.boot_order is
    'Kinds of devices in the order in which the guest tries them at its next start, whoever starts it, as its hypervisor reported last; null: unknown.';
alter table guest add column pending_boot_order text[] not null default '{}';
comment on column guest.pending_boot_order is
    'Order that the rack applies when it next stops or starts the guest, since the hypervisor cannot change it while the guest runs; empty: none.';
alter table guest add column booted_once text;
comment on column guest.booted_once is
    'machine.boot_once_key of the order for one start with which the running guest was started; null: none.';

alter table machine add column boot_once text[] not null default '{}';
comment on column machine.boot_once is
    'Kinds of devices that the machine tries first when Innkeeper next starts it, and only then; empty: as always.';
alter table machine add column boot_once_key text;
comment on column machine.boot_once_key is 'Names boot_once in the guest that was started so; another one for each request.';

alter table guest add column iso text not null default '';
comment on column guest.iso is
    'The ISO image in the drive of the guest: SHA-256 of an image of the region, else the name of another; empty: none.';
alter table guest add column next_iso text;
comment on column guest.next_iso is
    'As iso, from the next start of the running guest on, since its hypervisor cannot change the drive now; null: as now.';
