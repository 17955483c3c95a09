-- Names of VM hosts are unique, so that a name can stand for an id. Of hosts that share one, the oldest retains it; the
-- others get its id appended. An event names each.

do $$
declare
    renamed record;
    new_name text;
begin
    for renamed in
        select h.id, h.name, first.id as first_id
          from vm_host h
          join (select name, min(id) as id from vm_host group by name) first on first.name = h.name and first.id < h.id
         order by h.id
    loop
        new_name := renamed.name || '-' || renamed.id;
        while exists (select from vm_host where name = new_name) loop
            new_name := new_name || '-' || renamed.id;
        end loop;
        update vm_host set name = new_name where id = renamed.id;
        insert into event (kind, level, message, host_id)
        values ('host_changed', 'warning',
                format('%s was renamed to %s: names of VM hosts are now unique, and the VM host %s has this name',
                       renamed.name, new_name, renamed.first_id),
                renamed.id);
    end loop;
end $$;

alter table vm_host add constraint vm_host_name_key unique (name);
