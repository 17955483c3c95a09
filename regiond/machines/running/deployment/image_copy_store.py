"""SQL of copies of images that no deployment uses any more."""

from __future__ import annotations

from attrs import frozen

from regiond.db.pool import Db

# The members of an LXD cluster share the image store of a project: an image that one of them uses stays for all. They
# can share a pool too, of which each has a row for the copy: one that a guest of another member has stays. With an
# image, LXD deletes the volumes into which it unpacked it; a copy in a pool of LXD beside no image is one of an ISO
# image. A driver treats uploads as abandoned after two hours. A copy that the host said to be in use, by a guest that
# discovery does not see, is tried again a day later.
_UNUSED = """
    select c.id, c.server_id, c.sha256, coalesce(p.pool_key, '') as pool_id,
           coalesce('storage pool ' || p.name, 'the image store') as place,
           h.id as host_id, h.name as host_name,
           case when c.state = 'partial' then 'incomplete' when i.sha256 is null then 'deleted' else 'unused' end
               as reason
      from image_copy c
      left join storage_pool p on p.id = c.storage_pool_id
      join lateral (select h.id, h.name, h.driver, h.cluster_id
                      from vm_host h
                     where h.server_id = c.server_id and h.state = 'ready'
                       and (c.storage_pool_id is not null or h.project = c.project)
                     order by h.id limit 1) h on true
      left join lateral (select sha256 from image where sha256 = c.sha256 and state <> 'failed' limit 1) i on true
     where ($2::integer is null or c.id = $2)
       and p.missing_since is null and coalesce(p.status, 'available') = 'available'
       and (h.driver <> 'lxd' or c.storage_pool_id is null
            or not exists (select from image_copy s where s.server_id = c.server_id and s.sha256 = c.sha256
                                                      and s.storage_pool_id is null))
       and case c.state when 'partial' then c.changed_at < now() - interval '2 hours'
                        when 'copying' then false
                        else i.sha256 is null or c.used_at < now() - make_interval(days => $1) end
       and not exists (select from operation o where o.id = c.operation_id and o.is_open)
       and not exists (select from operation o
                        where o.kind = 'clean_up' and o.error_code = 'wrong_state' and not o.is_open
                          and o.host_id = h.id and o.finished_at > now() - interval '1 day'
                          and o.request #>> '{image_copy,sha256}' = c.sha256
                          and o.request #>> '{image_copy,pool_id}' = coalesce(p.pool_key, ''))
       and not exists (select from guest g
                        where c.sha256 in (g.iso, g.next_iso)
                          and (g.server_id = c.server_id
                               or exists (select from vm_host gh where gh.server_id = g.server_id
                                                                   and gh.cluster_id = h.cluster_id)))
       and not exists (select from operation o join vm_host oh on oh.id = o.host_id
                        where o.is_open and o.kind in ('deploy', 'insert_iso')
                          and o.request #>> '{image,sha256}' = c.sha256
                          and (oh.server_id = c.server_id or oh.cluster_id = h.cluster_id))
       and not exists (select from image_copy oc join vm_host oh on oh.server_id = oc.server_id
                        where oh.cluster_id = h.cluster_id and oc.server_id <> c.server_id
                          and c.storage_pool_id is null and oc.storage_pool_id is null
                          and oc.sha256 = c.sha256 and oc.project = c.project and i.sha256 is not null
                          and oc.used_at >= now() - make_interval(days => $1))
     order by c.id limit 100
"""


@frozen(kw_only=True)
class UnusedCopy:
    """A copy that may be removed, and a host that has it. `place` names its place in messages."""

    id: int
    server_id: int
    sha256: str
    pool_id: str
    place: str
    host_id: int
    host_name: str
    reason: str


async def unused_copies(db: Db, keep_days: int, copy_id: int | None = None) -> tuple[UnusedCopy, ...]:
    """Returns the copies that may be removed, at most 100; with `copy_id`, that copy only."""
    return tuple(UnusedCopy(**dict(row)) for row in await db.fetch(_UNUSED, keep_days, copy_id))
