-- Racks serve zones, and what credentials were sent to each rack is known when it is removed or stolen.

alter table rack add column zone_ids integer[];
comment on column rack.zone_ids is 'Zones whose hosts the rack serves; null: all zones.';
alter table rack add column stolen_at timestamptz;
comment on column rack.stolen_at is 'When the rack was reported stolen: whatever was ever sent to it counts as known to others.';
alter table rack_token add column zone_ids integer[];
comment on column rack_token.zone_ids is 'Zones of the rack that joins with this token; null: all zones.';

create table rack_credential (
    rack_id uuid not null references rack on delete cascade,
    host_id integer not null references vm_host on delete cascade,
    name text not null,
    fingerprint text not null default '',
    key_pair_id integer references key_pair on delete cascade,
    sent_at timestamptz not null default now(),
    forgotten_at timestamptz,
    primary key (rack_id, host_id, name, fingerprint)
);
comment on table rack_credential is
    'Credentials that a rack was sent, each recorded before it was sent. A credential that no longer exists has no row.';
comment on column rack_credential.name is 'key_pair, or the name of a secret of the host.';
comment on column rack_credential.fingerprint is 'SHA-256 of the certificate of a key pair; empty for other secrets.';
comment on column rack_credential.sent_at is 'When it was sent for the first time since the rack last forgot it.';
comment on column rack_credential.forgotten_at is 'When the rack confirmed that it deleted the credential; null: it has it.';
create index rack_credential_host_id_idx on rack_credential (host_id);
create index rack_credential_key_pair_id_idx on rack_credential (key_pair_id);

create table rack_rotation (
    rack_id uuid not null references rack on delete cascade,
    operation_id bigint not null references operation on delete cascade,
    primary key (rack_id, operation_id)
);
comment on table rack_rotation is 'Rotations of credentials that a removed or stolen rack had.';
create index rack_rotation_operation_id_idx on rack_rotation (operation_id);

-- A host is pinned to the server that a person named, and a trust password goes to no other.

alter table vm_host add column expected_fingerprint text;
comment on column vm_host.expected_fingerprint is
    'Fingerprint of the certificate or SSH host key that a person gave or accepted; null: none.';
alter table vm_host add column trust_on_first_use boolean not null default false;
comment on column vm_host.trust_on_first_use is
    'True: a trust password may be sent to a server whose fingerprint nobody has confirmed.';
