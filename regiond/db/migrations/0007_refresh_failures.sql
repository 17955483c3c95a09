-- How many refreshes of a host failed in a row: the time until the next attempt depends on it, in every region.
alter table vm_host_schedule add column failures smallint not null default 0;
