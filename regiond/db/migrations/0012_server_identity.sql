-- The server of an LXD host is identified by the pinned certificate, no longer by what the server reports.
-- A server whose hosts have all pinned one other certificate gets its identity. None is merged with another or split.
with pinned as (
    select server_id, min(pinned_fingerprint) as fingerprint
      from vm_host where driver = 'lxd' and server_id is not null
     group by server_id
    having count(*) = count(pinned_fingerprint) and count(distinct pinned_fingerprint) = 1
), wanted as (
    select s.id, 'lxd/lxd:' || p.fingerprint || coalesce(substring(s.identity from '^lxd/lxd:[^:]*(:.*)$'), '') as identity
      from server s join pinned p on p.server_id = s.id
     where s.identity like 'lxd/%'
)
update server s set identity = w.identity
  from wanted w
 where s.id = w.id and s.identity <> w.identity
   and not exists (select from server o where o.identity = w.identity)
   and not exists (select from wanted o where o.identity = w.identity and o.id <> w.id);

comment on column server.identity is
    'Stable and equal for all hosts of the server. LXD: SHA-256 of the pinned certificate, and the cluster member; libvirt: the host UUID, or that and a host''s id if many boards share the UUID.';

alter table vm_host add column confirmed_identity text;
comment on column vm_host.confirmed_identity is
    'Identity that an administrator confirmed as that of the host''s server: it is used although the host does not prove it, or had another.';
alter table vm_host add column server_may_change boolean not null default false;
comment on column vm_host.server_may_change is
    'True: an administrator changed the address of the host, which had no machines. The next discovery run may find another server.';
