-- no transaction
-- There may be millions of events: without the locks of the other files, so that regions write events meanwhile. Only those
-- since the account was created: those before belong to an earlier account of that name.
update event set account_id = account.id
  from account where account.username = event.username and event.at >= account.created_at and event.account_id is null;
