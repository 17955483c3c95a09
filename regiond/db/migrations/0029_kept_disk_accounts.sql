-- usable by releases that know 0001

update kept_disk set owner_id = account_id where owner_id is distinct from account_id;
comment on column kept_disk.account_id is
    'Who may use it, and whose quota counts it: the owner of that machine, else who composed it. Null: administrators alone may use it.';
comment on column kept_disk.owner_id is
    'The same account, for regions of release 1.0: without it they let every operator of the pool use the disk.';
