-- usable by releases that know 0001

alter table machine add column wanted_power text check (wanted_power in ('on', 'off'));
alter table machine add column wanted_power_at timestamptz;
alter table machine add column wanted_power_by text;
alter table machine add column wanted_power_user text;
alter table machine add column stopped_with text check (stopped_with in ('host', 'unclear'));
alter table machine add column start_tries smallint not null default 0;
alter table machine add column start_operation_id bigint;
comment on column machine.wanted_power is
    'Whether the machine should run: as the last operation left it, or as it was found and stayed; null: unknown.';
comment on column machine.wanted_power_at is 'When wanted_power was last set.';
comment on column machine.wanted_power_by is
    'What set wanted_power: the kind of an operation, found (on its host), or accepted (that it is off).';
comment on column machine.wanted_power_user is 'Name of the account that asked for it; null: nobody, or unknown.';
comment on column machine.stopped_with is
    'Why a machine that should run is off: host, its host was away meanwhile; unclear, that or it was stopped there. Null: not so, or not decided yet.';
comment on column machine.start_tries is 'Operations that should have started it since stopped_with was set.';
comment on column machine.start_operation_id is 'The last operation by which Innkeeper started it after its host was away.';
create index machine_stopped_idx on machine (host_id) where wanted_power = 'on' and power_state = 'off';

alter table vm_host add column lost_at timestamptz;
comment on column vm_host.lost_at is
    'When the host last became unreachable or got an error; null: never, or before this column was there.';

create or replace function vm_host_state_changed() returns trigger language plpgsql as $$
begin
    if (new.error_code is not null or new.state = 'unreachable')
       is distinct from (old.error_code is not null or old.state = 'unreachable') then
        new.state_since := clock_timestamp();
        if new.error_code is not null or new.state = 'unreachable' then
            new.lost_at := new.state_since;
        end if;
    end if;
    if new.problems = '[]' then
        new.problems_since := null;
    elsif old.problems = '[]' then
        new.problems_since := clock_timestamp();
    end if;
    return new;
end $$;

-- A machine that is found on should run, whoever started it. One that is found off is judged later, by its host.
create or replace function machine_power_changed() returns trigger language plpgsql as $$
begin
    new.power_changed_at := clock_timestamp();
    if new.power_state = 'on' then
        new.stopped_with := null;
        new.start_tries := 0;
        if new.wanted_power is distinct from 'on' then
            new.wanted_power := 'on';
            new.wanted_power_at := new.power_changed_at;
            new.wanted_power_by := 'found';
            new.wanted_power_user := null;
        end if;
    end if;
    return new;
end $$;

create function machine_power_found() returns trigger language plpgsql as $$
begin
    new.wanted_power := new.power_state;
    new.wanted_power_at := clock_timestamp();
    new.wanted_power_by := 'found';
    return new;
end $$;
create trigger machine_power_found before insert on machine
    for each row when (new.power_state in ('on', 'off') and new.wanted_power is null)
    execute function machine_power_found();

update machine set wanted_power = power_state, wanted_power_at = power_changed_at, wanted_power_by = 'found'
 where power_state in ('on', 'off');
update vm_host set lost_at = state_since where error_code is not null or state = 'unreachable';
