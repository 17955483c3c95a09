-- A machine's life: who has it, and what an owner keeps with it.
alter table machine add column composed_by_allocate boolean not null default false; -- destroyed on release
alter table machine add column agent_name text not null default '';
alter table machine add column owner_data jsonb not null default '{}';
alter table machine add column error_description text not null default ''; -- why a person marked it broken
create index machine_state on machine (state);

-- What a machine keeps while its host is gone.
alter table machine_forgotten add column state text not null default 'ready';
alter table machine_forgotten add column composed_by_allocate boolean not null default false;
alter table machine_forgotten add column agent_name text not null default '';
alter table machine_forgotten add column owner_data jsonb not null default '{}';
alter table machine_forgotten add column error_description text not null default '';
