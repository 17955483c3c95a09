alter table rack add column lowest_version smallint, add column highest_version smallint;
comment on column rack.lowest_version is 'Lowest version of the protocol that the rack supports, as it reported when it connected last. Null: not reported yet.';
comment on column rack.highest_version is 'Highest version of the protocol that the rack supports, as it reported when it connected last. Null: not reported yet.';
