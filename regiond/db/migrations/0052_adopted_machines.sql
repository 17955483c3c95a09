-- An adopted machine runs what its guest had before. Earlier releases made it ready, without owner, so that anybody could
-- allocate it, and its release stopped the guest.

alter table machine add column as_found boolean not null default false;
alter table detached_machine add column as_found boolean not null default false;
comment on column machine.as_found is 'The guest was adopted, and its machine has not been released since: it is deployed with what the guest had.';

-- Machines of earlier releases without owner are as found, too; those with an owner were allocated, and stay what they are.
-- They get the account that began their adoption; without owner, where that is no longer known, only administrators may
-- use them.
update machine m
   set as_found = true, state = case when m.state = 'ready' then 'deployed' else m.state end,
       owner_id = (select o.account_id from operation o
                    where o.kind = 'adopt' and o.machine_id = m.id order by o.id desc limit 1)
 where m.adopted and m.owner_id is null;
update detached_machine f
   set as_found = true, state = case when f.state = 'ready' then 'deployed' else f.state end,
       owner_id = (select o.account_id from operation o
                    where o.kind = 'adopt' and o.system_id = f.system_id and o.state = 'succeeded'
                    order by o.id desc limit 1)
 where f.adopted and f.owner_id is null;
