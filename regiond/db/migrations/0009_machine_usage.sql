-- usable by releases that know 0001

create table machine_usage (
    machine_id integer primary key references machine on delete cascade,
    measured_since timestamptz not null,
    measured_at timestamptz not null,
    busy_at timestamptz,
    limit_since timestamptz
);
comment on table machine_usage is 'What is remembered of the usage of machines: racks have the numbers of the last hour.';
comment on column machine_usage.measured_since is 'Since when it was measured without a gap of a day.';
comment on column machine_usage.measured_at is 'When it was measured last, to the hour.';
comment on column machine_usage.busy_at is 'When it was busy last, to the hour; null: never since measured_since.';
comment on column machine_usage.limit_since is 'Since when each reading found it at its limit; null: the last one did not.';
