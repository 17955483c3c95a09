"""Disks that machines' guests have on their hosts, as refreshes list them."""
