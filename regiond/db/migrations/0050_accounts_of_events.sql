-- Who may read an event depends on the account that caused it, not on its name: a name is given out again.
alter table event add column account_id integer;
comment on column event.account_id is 'The account that caused it. Null: the region did, or an account that was deleted before this column existed.';
