create table saved_filter (
    id integer generated always as identity primary key,
    account_id integer not null references account on delete cascade,
    list text not null check (list in ('hosts', 'vms')),
    name text not null check (length(name) between 1 and 64),
    query text not null check (length(query) between 1 and 500),
    created_at timestamptz not null default now(),
    unique (account_id, list, name)
);
comment on table saved_filter is 'Searches of lists that accounts keep by name.';
comment on column saved_filter.query is 'As it is typed in the search field of the list.';

create table list_columns (
    account_id integer not null references account on delete cascade,
    list text not null check (length(list) between 1 and 64),
    columns text[] not null,
    primary key (account_id, list)
);
comment on table list_columns is 'The columns that accounts chose for lists of the pages; without a row, the default of the list.';
