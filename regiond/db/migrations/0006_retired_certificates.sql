-- A certificate of ours that a person's own took the place of: it goes from the server's trust list at the next good look.
alter table key_pair add column retired_fingerprint text;
