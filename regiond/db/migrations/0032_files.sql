-- Small files that clients store, such as the state of Juju, which asks for them at bootstrap and when it destroys.
create table user_file (
    account_id integer not null references account on delete cascade,
    filename text not null check (filename <> ''),
    key uuid not null default gen_random_uuid() unique,
    content bytea not null check (length(content) <= 1048576),
    updated_at timestamptz not null default now(),
    primary key (account_id, filename)
);
comment on table user_file is 'Files of users, at most 100 of each, as MAAS''s files/ stores them.';
comment on column user_file.key is 'Whoever has it can read the file without an account. It stays when the content is replaced.';
