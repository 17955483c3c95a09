-- API keys for OAuth HMAC-SHA1. The region computes the signature itself, so it needs their secret, not a hash of it.
alter table api_key
    alter column token_secret_hash drop not null,
    add column sealed_token_secret bytea,
    add constraint api_key_secret_check check (num_nonnulls(token_secret_hash, sealed_token_secret) = 1);
comment on table api_key is 'OAuth 1.0 keys of accounts, each for one signature method: PLAINTEXT or HMAC-SHA1.';
comment on column api_key.token_secret_hash is
    'SHA-256 of the token secret of a key for PLAINTEXT. The secret is random, so it needs no salt; it is stored nowhere.';
comment on column api_key.sealed_token_secret is
    'The token secret of a key for HMAC-SHA1, encrypted with the master key.';
