-- usable by releases that know 0001

alter table guest add column marker_absent_at timestamptz;
comment on column guest.marker_absent_at is
    'Last discovery run of the server before the guest appeared with its marker, or when its first host was added; null: the guest was recorded before this column was there.';
