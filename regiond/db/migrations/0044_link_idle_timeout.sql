-- A command that a rack has queued ends with the link on which it came: a region that cannot ask the rack waits that long.
alter table rack add column link_idle_timeout_s double precision;
comment on column rack.link_idle_timeout_s is 'After how many seconds without data the rack ends a link, as it reported when it connected last. Null: not reported yet.';
