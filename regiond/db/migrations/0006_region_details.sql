-- What regions and racks report of themselves. Null: not reported yet.

alter table region_process
    add column release text,
    add column schema_number integer,
    add column rpc_address text,
    add column api_url text;
comment on column region_process.schema_number is 'Number of the newest migration that its release knows.';
comment on column region_process.rpc_address is 'Where racks and RPC clients reach it; null: it does not listen yet.';

alter table rack add column release text;
comment on column rack.release is 'Release of the rack, as it reported when it connected last.';
