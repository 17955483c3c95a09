alter table vm_host
    add column error_details jsonb,
    add column rejected_secret text check (rejected_secret in ('token', 'password'));
comment on column vm_host.error_details is
    'Facts of the error: its kind, fingerprints, what can be confirmed. Null beside an error: it was stored by a release without them.';
comment on column vm_host.rejected_secret is 'Which secret trust_error is about.';
