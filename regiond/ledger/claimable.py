"""SQL of what can be claimed on a host, for conditions of other rooms."""

from __future__ import annotations

# Computed as `regiond.ledger.claims` does, for the host `h` and its server `s`.
MOST_CLAIMABLE = """
           select floor(greatest(0, s.cores - h.reserved_cores) * h.cpu_over_commit_ratio::text::numeric)::bigint
                    as cores,
                  floor(greatest(0, s.memory_mib - s.huge_memory_mib - h.reserved_memory_mib)
                        * h.memory_over_commit_ratio::text::numeric)::bigint as memory_mib
"""
