-- usable by releases that know 0001

alter table machine_usage add column limits text[] not null default '{}';
comment on column machine_usage.limits is 'At which limits the last reading found it: cpu, memory, disk. Says nothing without limit_since.';
