-- Who may read an event depends on the account that caused it, not on its name: a name is given out again.
alter table event add column account_id integer;
comment on column event.account_id is 'The account that caused it. Null: the region did, or an account that was deleted before this column existed.';
-- Only the events since the account was created: those before belong to an earlier account of that name.
update event set account_id = account.id
  from account where account.username = event.username and event.at >= account.created_at;
