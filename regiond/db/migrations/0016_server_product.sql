-- usable by releases that know 0001

-- What runs on a server, as its driver reports it: LXD or Incus; empty if its host type says it all.

alter table server add column product text not null default '';
