"""The SQL condition of machines that should run, are off, and wait for a person. Of `m`, its host `h`."""

from __future__ import annotations

# `last-state` and `always` both start a machine that ran. An adopted one without a setting is as its guest.
AUTOSTART = """coalesce(m.autostart, case when not m.adopted and not m.imported then
                   coalesce(h.autostart, (select autostart from installation)) end, 'never')"""
# Innkeeper starts the others within minutes: those that still wait then are listed too, such as of a long start order.
WAITS_FOR_PERSON = f"""(m.wanted_power = 'on' and m.power_state = 'off' and m.stopped_with is not null
       and m.state in ('ready', 'allocated', 'deployed') and h.state = 'ready'
       and (m.stopped_with in ('unclear', 'moved') or h.maintenance_since is not null or {AUTOSTART} = 'never'
            or m.start_tries > 0 or m.power_changed_at < now() - interval '10 minutes')
       and not exists (select from operation o where o.machine_id = m.id and o.is_open))"""
