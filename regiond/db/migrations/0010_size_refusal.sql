-- usable by releases that know 0001

alter table machine
    add column size_refused text not null default '' check (length(size_refused) <= 1000),
    add column size_refused_at timestamptz;
comment on column machine.size_refused is
    'Why the host refused the pending size at the last start by Innkeeper that tried it; empty: no start has been refused it. It says nothing once the machine has no pending size.';
comment on column machine.size_refused_at is 'The first such start since that size was asked for.';
