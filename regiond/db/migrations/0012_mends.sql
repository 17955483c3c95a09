-- Who mends a difference, how many sweeps in a row have seen it, and what was mended.
alter table difference
    add column mended_by text not null default 'nobody' check (mended_by in ('itself', 'approval', 'nobody')),
    add column sweeps integer not null default 0,
    add column mended_at timestamptz,
    add column mended text;
create index difference_mended on difference (mended_at) where mended_at is not null;
