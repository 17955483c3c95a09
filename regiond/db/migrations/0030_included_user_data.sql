-- User data that the hypervisor does not store: the guest fetches them from the region.

alter table deployment add column user_data_fetches smallint check (user_data_fetches >= 0);
comment on column deployment.user_data_fetches is 'How often the guest has fetched its user data; null if its hypervisor stores them.';
