create table audit_export (
    destination text primary key,
    sent_id bigint not null default 0,
    sent_at timestamptz,
    lease_owner uuid,
    lease_until timestamptz
);
comment on table audit_export is 'How far the audit trail was sent to each destination of the setting audit_export.';
comment on column audit_export.sent_id is 'The last entry that the destination has; 0: none.';
comment on column audit_export.lease_owner is 'The region that sends, until lease_until.';
