-- Login with user name and password. An account without a hash has API keys only.
alter table account add column password_hash text;
comment on column account.password_hash is 'Argon2id, with its parameters and salt.';
