"""SQL of what can be claimed on a host, for conditions of other rooms."""

from __future__ import annotations

# Bytes claimed of the storage on which the storage pool `p` is: pools can share it. Read it with the server locked.
CLAIMED_OF_STORAGE = """
           (case when p.storage_id = '' then p.claimed_bytes else
                 (select sum(o.claimed_bytes)::bigint from storage_pool o
                   where o.server_id = p.server_id and o.storage_id = p.storage_id
                     and (o.missing_since is null or o.id = p.id)) end)
"""
# Computed as `regiond.ledger.claims` does, for the host `h` and its server `s`.
MOST_CLAIMABLE = """
           select floor(greatest(0, s.cores - h.reserved_cores) * h.cpu_over_commit_ratio::text::numeric)::bigint
                    as cores,
                  floor(greatest(0, s.memory_mib - s.huge_memory_mib - h.reserved_memory_mib)
                        * h.memory_over_commit_ratio::text::numeric)::bigint as memory_mib
"""
