-- What MAAS clients store with a tag. Machines and hosts have the names of their tags.
create table tag (
    id integer generated always as identity primary key,
    name text not null unique check (name <> ''),
    comment text not null default '',
    definition text not null default '',
    kernel_opts text not null default ''
);
comment on table tag is 'Tags that were created by a client. A tag that only machines or VM hosts have needs no row: its texts are empty.';
comment on column tag.definition is 'An XPath expression of MAAS. It is stored and shown, never evaluated.';
comment on column tag.kernel_opts is 'Stored and shown; no guest boots with it.';

-- It belongs to VM hosts alone. Machines got it with the other tags of their host.
update machine set tags = array_remove(tags, 'pod-console-logging') where 'pod-console-logging' = any(tags);
update detached_machine set tags = array_remove(tags, 'pod-console-logging') where 'pod-console-logging' = any(tags);
