"""Checks claims, maintenance and affinity in the database: a trigger evaluates each compose when it commits."""

from __future__ import annotations

# The transaction still locks the server's row, so the totals include exactly this claim.
AUDIT = """
    create table audit (what text not null);

    create function audit_claim() returns trigger language plpgsql as $$
    begin
        insert into audit
        select format('%s was composed on %s: %s cores claimed of %s x %s', m.hostname, h.name, s.cores_claimed,
                      s.cores - h.reserved_cores, h.cpu_over_commit_ratio)
          from machine m join vm_host h on h.id = m.host_id join server s on s.id = new.server_id
         where m.id = new.machine_id and m.state = 'composing' and new.resource = 'cores'
           and s.cores_claimed > floor((s.cores - h.reserved_cores) * h.cpu_over_commit_ratio::text::numeric)
        union all
        select format('%s was composed on %s: %s MiB claimed of %s x %s', m.hostname, h.name, s.memory_mib_claimed,
                      s.memory_mib - s.huge_memory_mib - h.reserved_memory_mib, h.memory_over_commit_ratio)
          from machine m join vm_host h on h.id = m.host_id join server s on s.id = new.server_id
         where m.id = new.machine_id and m.state = 'composing' and new.resource = 'memory_mib'
           and s.memory_mib_claimed > floor((s.memory_mib - s.huge_memory_mib - h.reserved_memory_mib)
                                            * h.memory_over_commit_ratio::text::numeric)
        union all
        select format('%s was composed in %s: %s bytes claimed and %s used of %s', m.hostname, p.name, p.claimed_bytes,
                      p.used_elsewhere_bytes, p.total_bytes)
          from machine m join storage_pool p on p.id = new.storage_pool_id
         where m.id = new.machine_id and m.state = 'composing'
           and p.claimed_bytes + p.used_elsewhere_bytes > p.total_bytes
        union all
        select format('%s was composed on core %s, which is another''s', m.hostname, new.key)
          from machine m
         where m.id = new.machine_id and m.state = 'composing' and new.resource = 'pinned_core'
           and exists (select from claim c where c.server_id = new.server_id and c.resource = 'pinned_core'
                                            and c.key = new.key and c.machine_id is distinct from new.machine_id)
        union all
        select format('%s was composed with %s %s: %s claimed of %s', m.hostname, r.resource, r.key, r.claimed, r.total)
          from machine m
          join discrete_resource r on (r.server_id, r.resource, r.key) = (new.server_id, new.resource, new.key)
         where m.id = new.machine_id and m.state = 'composing' and r.claimed > r.total
        union all
        select format('%s was composed on %s, which is in maintenance', m.hostname, h.name)
          from machine m join vm_host h on h.id = m.host_id
         where m.id = new.machine_id and m.state = 'composing' and h.maintenance_since is not null
        union all
        select format('%s was composed on %s, and %s of its hard %s group %s is on %s', m.hostname, h.name, o.hostname,
                      a.policy, a.group_name, oh.name)
          from machine m join vm_host h on h.id = m.host_id
          join affinity_membership a on a.machine_id = m.id
          join affinity_membership b on b.group_name = a.group_name and b.machine_id <> m.id and (a.hard or b.hard)
          join machine o on o.id = b.machine_id join vm_host oh on oh.id = o.host_id
         where m.id = new.machine_id and m.state = 'composing'
           and case a.policy when 'affinity' then oh.id <> h.id else oh.server_id = h.server_id end;
        return null;
    end $$;

    create constraint trigger audit_claim after insert on claim deferrable initially deferred
        for each row when (new.machine_id is not null) execute function audit_claim();
"""
