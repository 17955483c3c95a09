-- What becomes of a machine when its host starts: last-state, always or never.

alter table installation add column autostart text not null default 'last-state'
    check (autostart in ('last-state', 'always', 'never'));
alter table vm_host add column autostart text check (autostart in ('last-state', 'always', 'never'));
alter table machine add column autostart text check (autostart in ('last-state', 'always', 'never'));
alter table detached_machine add column autostart text;
alter table guest add column autostart text;
comment on column installation.autostart is 'For hosts that have no value of their own; from the settings of the region that started last.';
comment on column vm_host.autostart is 'For machines that have no value of their own; null: as the installation.';
comment on column machine.autostart is 'Null: as the host; of an adopted machine: Innkeeper leaves what its guest has.';
comment on column guest.autostart is 'As the hypervisor reports it; null: unknown.';

alter table machine add column power_changed_at timestamptz not null default now();
comment on column machine.power_changed_at is 'When power_state last changed: a guest that has just stopped may belong to a host that is shutting down.';

alter table vm_host_schedule add column run_began_at timestamptz;
comment on column vm_host_schedule.run_began_at is 'When the discovery run that was applied last began.';

create function machine_power_changed() returns trigger language plpgsql as $$
begin
    new.power_changed_at := clock_timestamp();
    return new;
end $$;
create trigger machine_power_changed before update of power_state on machine
    for each row when (old.power_state is distinct from new.power_state) execute function machine_power_changed();
