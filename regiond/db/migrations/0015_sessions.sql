create table web_session (
    id bigint generated always as identity primary key,
    account_id bigint not null references account (id) on delete cascade,
    token_hash bytea not null unique,
    created_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    expires_at timestamptz not null,
    idle_ends_at timestamptz not null,
    address text not null,
    user_agent text not null,
    check (length(token_hash) = 32),
    check (idle_ends_at <= expires_at)
);
comment on table web_session is 'Sessions of the web pages. The token of a cookie is not stored, only its hash.';
comment on column web_session.token_hash is 'SHA-256 of the token, which has 256 random bits.';
comment on column web_session.expires_at is 'When it ends however much it is used.';
comment on column web_session.idle_ends_at is 'When it ends unless it is used before.';
create index web_session_account_id_idx on web_session (account_id);
create index web_session_idle_ends_at_idx on web_session (idle_ends_at);

create table tls_certificate_notice (
    fingerprint text primary key,
    notified_days integer not null,
    expires_at timestamptz not null
);
comment on table tls_certificate_notice is
    'Which notice of its expiry was given for the certificate of the API, once for all regions that serve it.';
