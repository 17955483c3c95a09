-- The operating system on a machine's root disk, or the one that is being written to it.

create table deployment (
    id bigint generated always as identity primary key,
    machine_id integer not null unique references machine on delete cascade,
    operation_id bigint not null,
    state text not null default 'deploying' check (state in ('deploying', 'deployed', 'failed', 'erased')),
    image jsonb not null,
    osystem text not null,
    distro_series text not null,
    sealed_user_data bytea,
    secret_hash bytea,
    booted_at timestamptz,
    reported_at timestamptz,
    created_at timestamptz not null default now()
);
comment on table deployment is 'Deployments: of each machine the last one, until it is released. Its id is in the address at which the guest reports.';
comment on column deployment.operation_id is 'No reference: old operations are deleted.';
comment on column deployment.state is 'erased: a release has begun to empty the root disk.';
comment on column deployment.image is 'An ImageRef: the content that was written.';
comment on column deployment.sealed_user_data is 'What the user gave; deleted when the deployment ends.';
comment on column deployment.secret_hash is 'SHA-256 of the secret with which the guest reports once; null before the root disk is written.';
create index deployment_operation_id_idx on deployment (operation_id);
