-- Cards and GPUs are the server's. Networks and profiles are those of the host's project: two hosts of one server may see
-- others, so `server.networks` is written no more; it goes when no region reads it.
alter table server add column network_cards jsonb not null default '[]';
alter table server add column gpus jsonb not null default '[]';

alter table vm_host add column networks jsonb not null default '[]';
alter table vm_host add column profiles jsonb not null default '[]';
update vm_host h set networks = s.networks from server s where s.id = h.server_id;
