-- The removal of the last host of an LXD server removes Innkeeper's certificate there, unless its key pair is to be kept.

alter table vm_host add column leaves_key_pair boolean not null default false;
comment on column vm_host.leaves_key_pair is
    'True: the removal of this host no longer uses the server. The one that finds no other host removes the certificate.';
alter table key_pair add column kept_address text;
comment on column key_pair.kept_address is
    'Address of the removed hosts of a pair that was to be kept: the next host at this address uses it again.';
create index key_pair_kept_address_idx on key_pair (kept_address);
