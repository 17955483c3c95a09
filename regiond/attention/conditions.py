"""SQL of the conditions: one select for each, all with the columns of `Found` and who may see it.

Every select names its columns `kind`, `object_type`, `object_id`, `name`, `broken`, `since`, `host_id`, `host_name`,
`pool_id`, `zone_id`, `seen_pool_id`, `accounts` and `facts`. One whose facts have `covered` has its cause in a line
of its own: it is left out, but where the lines of one host are read. A caller sees a row if it sees the resource pool
`seen_pool_id` or is one of `accounts`; rows with neither are for administrators. The parameters are

    $1 resource pools of the caller (null: all)   $4 nearly full, per cent
    $2 account of the caller                      $5 seconds that an operation may wait
    $3 seconds until a host's data are old        $6 days before the expiry of certificates of hosts
                                                  $7 the same of racks and RPC clients
                                                  $8 hours until a backup is old (0: never)
"""

from __future__ import annotations

from regiond.hosts.error_details import PRODUCT
from regiond.ledger.claimable import CLAIMED_OF_STORAGE, MOST_CLAIMABLE
from regiond.ledger.model import SHARED_POOL_TYPES
from regiond.machines.power.wanted_power.conditions import AUTOSTART, WAITS_FOR_PERSON
from regiond.racks.model import RACKS_LINK_WITHIN_S

_SHARED = ", ".join(f"'{one}'" for one in sorted(SHARED_POOL_TYPES))
_VMS = """
    select 'vm_' || m.state as kind, 'vm' as object_type, m.system_id as object_id, m.hostname as name, true as broken,
           case when m.state = 'missing' then m.missing_since else m.state_since end as since, h.id as host_id,
           h.name as host_name, m.pool_id, m.zone_id, m.pool_id as seen_pool_id,
           array[coalesce(m.owner_id, m.composed_by_id)] as accounts,
           jsonb_build_object('error', m.error_description) as facts
      from machine m left join vm_host h on h.id = coalesce(m.host_id, m.failed_host_id)
     where m.state in ('missing', 'broken', 'failed_deployment', 'failed_compose', 'failed')
"""
_VOLUMES = """
    select 'vm_volume_missing', 'vm', m.system_id, m.hostname, true, g.volume_missing_since, h.id, h.name, m.pool_id,
           m.zone_id, m.pool_id, array[coalesce(m.owner_id, m.composed_by_id)],
           jsonb_build_object('power_state', m.power_state, 'volumes',
                              jsonb_path_query_array(g.disks, '$[*] ? (@.missing == true).volume'))
      from guest g join machine m on m.id = g.machine_id left join vm_host h on h.id = m.host_id
     where g.volume_missing_since is not null
"""
_SHOULD_RUN = f"""
    select 'vm_should_run', 'vm', m.system_id, m.hostname, true, m.power_changed_at, h.id, h.name, m.pool_id,
           m.zone_id, m.pool_id, array[coalesce(m.owner_id, m.composed_by_id)],
           jsonb_build_object('unclear', m.stopped_with = 'unclear', 'moved', m.stopped_with = 'moved',
                              'maintenance', h.maintenance_since is not null,
                              'autostart', {AUTOSTART} <> 'never', 'tries', m.start_tries,
                              'error', (select s.error_message from operation s where s.id = m.start_operation_id))
      from machine m join vm_host h on h.id = m.host_id
     where {WAITS_FOR_PERSON}
"""  # noqa: S608  # our own texts
# The links of a region that has sent no heartbeat for 30 s do not count. A rack that was seen before a restart of the
# region gets the time to link again.
_IS_AWAY = f"""
    r.removed_at is null
    and not exists (
        select from rack_link l join region_process p on p.id = l.region_id
         where l.rack_id = r.id and p.seen_at > now() - interval '30 seconds')
    and (r.seen_at is null
         or (select coalesce(bool_or(p.started_at < r.seen_at
                                     or p.started_at < now() - make_interval(secs => {RACKS_LINK_WITHIN_S})), true)
               from region_process p where p.seen_at > now() - interval '30 seconds'))
"""  # noqa: S608  # our own number
# Administrators read of a rack that is away. Of the hosts of one server that cannot be reached, the first has the line.
_SAME_SERVER = """
    o.server_id = h.server_id and o.id <> h.id and o.state = 'unreachable' and h.state = 'unreachable'
    and o.error_code = h.error_code and h.error_code in ('host_unreachable', 'host_hung')
    and ($1::integer[] is null or o.pool_id = any($1))
"""
_IS_COVERED = f"""
    ($1::integer[] is null and h.error_code = 'rack_unreachable'
     and exists (select from rack_reach x join rack r on r.id = x.rack_id
                  where x.host_id = h.id and x.reaches and {_IS_AWAY}))
    or exists (select from vm_host o where {_SAME_SERVER} and o.id < h.id)
"""  # noqa: S608  # our own texts
_HOSTS = f"""
    select case when h.error_code in ('peer_changed', 'server_unconfirmed') then 'host_rejected'
                when h.error_code = 'not_trusted' then 'host_not_trusted'
                when h.error_code is not null or h.state = 'unreachable' then 'host_unreachable'
                else 'host_stale' end,
           'host', h.id::text, h.name,
           h.state = 'unreachable' or (h.error_code is not null and h.error_code <> 'not_trusted'),
           case when h.error_code is null and h.state = 'ready' then v.refreshed_at else h.state_since end, h.id,
           h.name, h.pool_id, h.zone_id, h.pool_id, '{{}}'::integer[],
           jsonb_build_object('code', h.error_code, 'error', h.error_message, 'details', h.error_details,
                              'driver', h.driver, 'reached', v.refreshed_at is not null,
                              'product', {PRODUCT},
                              'others', array(select o.name from vm_host o where {_SAME_SERVER} order by o.name))
           || case when {_IS_COVERED} then '{{"covered": true}}'::jsonb else '{{}}' end
      from vm_host h left join vm_host_schedule v on v.host_id = h.id left join server s on s.id = h.server_id
     where h.state <> 'removing'
       and (h.error_code is not null or h.state = 'unreachable'
            or (h.state = 'ready' and h.maintenance_since is null
                and v.refreshed_at < now() - make_interval(secs => $3::float8)))
"""  # noqa: S608  # our own texts
_OVERCOMMITTED = f"""
    select 'host_overcommitted', 'host', h.id::text, h.name, false,
           (select since from attention_since a where a.kind = 'host_overcommitted' and a.object = 'host ' || h.id),
           h.id, h.name, h.pool_id, h.zone_id, h.pool_id, '{{}}'::integer[],
           jsonb_build_object('cores', array[s.cores_claimed, most.cores],
                              'memory_mib', array[s.memory_mib_claimed, most.memory_mib])
      from vm_host h join server s on s.id = h.server_id
     cross join lateral ({MOST_CLAIMABLE}) most
     where h.state <> 'removing' and (s.cores_claimed > most.cores or s.memory_mib_claimed > most.memory_mib)
"""  # noqa: S608  # our own texts
_PROBLEMS = """
    select 'host_problem', 'host', h.id::text, h.name, false, h.problems_since, h.id, h.name, h.pool_id, h.zone_id,
           h.pool_id, '{}'::integer[], jsonb_build_object('problems', p.problems)
      from vm_host h
     cross join lateral (
           select coalesce(jsonb_agg(one order by number), '[]') as problems
             from jsonb_array_elements(h.problems) with ordinality problem (one, number)
            where not exists (select from storage_pool s  -- which has a line of its own
                               where s.server_id = h.server_id and s.status <> 'available'
                                 and s.missing_since is null and one ->> 'subject' = 'storage pool ' || s.name)) p
     where h.state <> 'removing' and p.problems <> '[]'
"""
# A server can have several hosts: the storage pool is named after the first that the caller sees. Members of a cluster
# report the same pool if it is on the network: it counts once, for the first member that finds it so and that the
# caller sees, and since the first of all members found it so. Pools of a server that share their space are full
# together, and the first of them is named.
_STORAGE_POOLS = f"""
    select distinct on (p.kind, p.shared_by, p.name, p.type, p.own_id) p.kind, 'storage_pool', p.id::text,
           'Storage pool ' || p.name || ' of ' || p.host_name, p.kind = 'storage_pool_unavailable', p.since,
           p.host_id, p.host_name, p.pool_id, p.zone_id, p.pool_id, '{{}}'::integer[],
           jsonb_build_object('name', p.name, 'status', p.status, 'missing', p.missing_since is not null,
                              'total', p.total_bytes, 'used', {CLAIMED_OF_STORAGE} + p.used_elsewhere_bytes)
      from (
           select s.*, h.id as host_id, h.name as host_name, h.pool_id, h.zone_id,
                  min(s.found_since) over (partition by s.kind, s.shared_by, s.name, s.type, s.own_id) as since
             from (
                  select s.*, k.kind, m.identity as shared_by, case when m.identity is null then s.id end as own_id,
                         case when s.missing_since is not null then s.missing_since
                              when s.status <> 'available' then s.status_since
                              else (select since from attention_since a
                                     where a.kind = k.kind and a.object = 'storage_pool ' || s.id) end as found_since
                    from storage_pool s
                   cross join lateral (
                         select case when s.missing_since is null and s.status = 'available' then 'storage_pool_full'
                                     else 'storage_pool_unavailable' end as kind) k
                   cross join lateral (
                         select c.identity
                           from vm_host h
                           left join cluster c on c.id = h.cluster_id and s.type in ({_SHARED})
                          where h.server_id = s.server_id and h.state <> 'removing'
                          order by h.id limit 1) m
                   where case when s.missing_since is not null then s.claimed_bytes > 0
                              when s.status <> 'available' then true
                              else s.total_bytes > 0 and (
                                   select {CLAIMED_OF_STORAGE} + p.used_elsewhere_bytes from storage_pool p
                                    where p.id = s.id) >= s.total_bytes / 100.0 * $4::float8
                                   and not exists (
                                       select from storage_pool o
                                        where o.server_id = s.server_id and o.storage_id = s.storage_id
                                          and s.storage_id <> '' and o.id < s.id and o.missing_since is null
                                          and o.status = 'available') end) s
             left join lateral (
                  select h.* from vm_host h
                   where h.server_id = s.server_id and h.state <> 'removing'
                     and ($1::integer[] is null or h.pool_id = any($1))
                   order by h.id limit 1) h on true) p
     where p.host_id is not null
     order by p.kind, p.shared_by, p.name, p.type, p.own_id, p.id
"""  # noqa: S608  # our own texts
_CERTIFICATES = """
    select 'certificate_expiring', 'host', h.id::text, h.name, k.expires_at <= now(),
           case when k.expires_at <= now() then k.expires_at
                else greatest(k.created_at, k.expires_at - make_interval(days => $6::integer)) end,
           h.id, h.name, h.pool_id, h.zone_id, h.pool_id, '{}'::integer[],
           jsonb_build_object('expires_at', k.expires_at)
      from vm_host h join key_pair k on k.id = h.key_pair_id
     where h.state <> 'removing' and k.expires_at < now() + make_interval(days => $6::integer)
"""
_RACK_CERTIFICATES = """
    select 'certificate_expiring', 'rack', r.id::text, r.name, r.certificate_expires_at <= now(),
           case when r.certificate_expires_at <= now() then r.certificate_expires_at
                else r.certificate_expires_at - make_interval(days => $7::integer) end,
           null::integer, null, null::integer, null::integer, null::integer, '{}'::integer[],
           jsonb_build_object('expires_at', r.certificate_expires_at)
      from rack r
     where r.removed_at is null and r.certificate_expires_at < now() + make_interval(days => $7::integer)
"""
_SERVER_CERTIFICATES = f"""
    select 'server_certificate_expiring', 'host', h.id::text, h.name, h.pinned_expires_at <= now(),
           case when h.pinned_expires_at <= now() then h.pinned_expires_at
                else greatest(h.created_at, h.pinned_expires_at - make_interval(days => $6::integer)) end,
           h.id, h.name, h.pool_id, h.zone_id, h.pool_id, '{{}}'::integer[],
           jsonb_build_object('expires_at', h.pinned_expires_at, 'in_cluster', h.cluster_id is not null,
                              'product', {PRODUCT})
      from vm_host h left join server s on s.id = h.server_id
     where h.state <> 'removing' and h.pinned_expires_at < now() + make_interval(days => $6::integer)
"""  # noqa: S608  # our own texts
# One that is valid for less than a week, with its API key, is not due at once.
_CLIENT_CERTIFICATES = """
    select 'client_certificate_expiring', 'rpc_client', c.id::text, 'RPC client ' || c.name,
           c.certificate_expires_at <= now(),
           case when c.certificate_expires_at <= now() then c.certificate_expires_at
                else c.certificate_expires_at - due.before end,
           null::integer, null, null::integer, null::integer, null::integer, array[c.account_id],
           jsonb_build_object('expires_at', c.certificate_expires_at)
      from rpc_client c
     cross join lateral (
           select least(make_interval(days => $7::integer), (c.certificate_expires_at - c.issued_at) / 7) as before) due
     where c.revoked_at is null and c.certificate_expires_at < now() + due.before
"""
_RACKS = f"""
    select 'rack_away', 'rack', r.id::text, r.name, true, coalesce(r.seen_at, r.joined_at), null::integer, null,
           null::integer, null::integer, null::integer, '{{}}'::integer[],
           jsonb_build_object('seen', r.seen_at is not null, 'hosts', array(
               select h.name from vm_host h join rack_reach x on x.host_id = h.id and x.rack_id = r.id and x.reaches
                where h.error_code = 'rack_unreachable' and h.state <> 'removing' order by h.name limit 100))
      from rack r
     where {_IS_AWAY}
"""  # noqa: S608  # our own texts
# A missing VM or volume has an item of its own, and what is repaired automatically is gone after two sweeps.
_DISCREPANCIES = """
    select 'discrepancy', 'discrepancy', d.id::text, d.name, d.data_at_risk, coalesce(d.since, d.first_seen_at), h.id,
           h.name, coalesce(m.pool_id, h.pool_id), coalesce(m.zone_id, h.zone_id), null::integer, '{}'::integer[],
           jsonb_build_object('found', d.found, 'expected', d.expected, 'remedy', d.remedy, 'policy', d.repair_policy)
      from discrepancy d left join vm_host h on h.id = d.host_id left join machine m on m.system_id = d.system_id
     where d.resolved_at is null and d.kind not in ('machine_missing', 'volume_missing')
       and (d.repair_policy <> 'automatic' or d.sweeps > 2)
"""
# The children of a bulk operation are queued as long as others run.
_OPERATIONS = """
    select 'operation_waiting', 'operation', o.id::text, 'Task ' || o.id, false, o.created_at, o.host_id,
           coalesce(h.name, o.host_name), coalesce(m.pool_id, h.pool_id), coalesce(m.zone_id, h.zone_id),
           case when o.system_id is null then h.pool_id else m.pool_id end,
           array[o.account_id, coalesce(m.owner_id, m.composed_by_id)],
           jsonb_build_object('kind', o.kind, 'action', o.request -> 'action', 'error', o.error_message,
                              'machine', coalesce(o.hostname, o.system_id), 'host', coalesce(h.name, o.host_name))
      from operation o left join machine m on m.id = o.machine_id left join vm_host h on h.id = o.host_id
     where o.is_open and (o.state in ('waiting', 'undoing') or (o.state = 'queued' and o.parent_id is null))
       and o.created_at < now() - make_interval(secs => $5::float8)
"""
_IMAGES = """
    select 'image_failed', 'image', i.id::text, 'Image ' || i.name || ' ' || i.architecture, false, i.updated_at,
           null::integer, null, null::integer, null::integer, null::integer, array[i.account_id],
           jsonb_build_object('error', i.error, 'url', i.url)
      from image i
     where i.state = 'failed'
"""
_BACKUP = """
    select 'backup_old', 'region', 'backup', 'The region', false, due.at, null::integer, null, null::integer,
           null::integer, null::integer, '{}'::integer[],
           jsonb_build_object('saved_at', b.saved_at, 'hours', $8::integer)
      from installation i left join region_backup b on true
     cross join lateral (select coalesce(b.saved_at, i.created_at) + make_interval(hours => $8::integer) as at) due
     where $8::integer > 0 and due.at < now()
"""
CONDITIONS = "\n     union all\n".join(
    f"({one})"
    for one in (
        _VMS, _VOLUMES, _SHOULD_RUN, _HOSTS, _OVERCOMMITTED, _PROBLEMS, _STORAGE_POOLS, _CERTIFICATES,
        _SERVER_CERTIFICATES, _CLIENT_CERTIFICATES, _RACK_CERTIFICATES, _RACKS, _DISCREPANCIES, _OPERATIONS, _IMAGES,
        _BACKUP,
    )
)  # fmt: skip
