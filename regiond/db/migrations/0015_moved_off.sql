-- usable by releases that know 0001

alter table machine drop constraint machine_stopped_with_check;
alter table machine add constraint machine_stopped_with_check check (stopped_with in ('host', 'unclear', 'moved'));
comment on column machine.stopped_with is
    'Why a machine that should run is off: host, its host was away meanwhile; unclear, that or it was stopped there; moved, its cluster has it on another member since. Null: not so, or not decided yet.';
