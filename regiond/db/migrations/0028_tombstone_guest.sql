-- usable by releases that know 0001

alter table tombstone add column was_composed boolean not null default true;
alter table tombstone add column guest_key text;
update tombstone set was_composed = false where reason <> 'it was deleted';
comment on column tombstone.was_composed is
    'Whether the machine had a guest that users may have used. Only otherwise is a guest with the marker a leftover whatever its id, and a volume removed without approval.';
comment on column tombstone.guest_key is
    'The hypervisor''s id of the machine''s guest when it was deleted; null: unknown. A guest with the marker and another id was created by a call that came late.';
comment on table tombstone is
    'Machines that were deleted or rescheduled. An operation removes a guest that still has the marker of one, if a call of ours has provably left or created it.';
