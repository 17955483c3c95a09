"""The public functions of placement: filter, score, choose, match, explain, capacity; constraints. Pure."""

from __future__ import annotations

from regiond.placement.affinity import check_policies, group_restrictions, group_standing, parse_rules
from regiond.placement.bipartite_matching import Shortage, match
from regiond.placement.candidate import resource_capacity, same_seen_by, sum_of
from regiond.placement.checks import SUMMARY
from regiond.placement.claimed_hosts import RemainingHosts, after_claim, with_pending_claims, with_pending_members
from regiond.placement.cpu_pinning import choose_cores, core_ranges
from regiond.placement.evaluation import needs_nodes
from regiond.placement.interface_matching import is_selected, matching_interfaces, selects_subnet
from regiond.placement.interface_parser import parse_interfaces
from regiond.placement.model import explain
from regiond.placement.network_selectors import parse_cidr, parse_selector, referenced_networks, selector_of_key
from regiond.placement.nic_attachment import attach_nics, port_of, required_functions
from regiond.placement.numa_placement import assign_numa
from regiond.placement.ranking import place, place_sequentially
from regiond.placement.storage_assignment import assign_storage, label_notes, missing_pool
from regiond.placement.storage_parser import parse_storage

__all__ = (
    "SUMMARY",
    "RemainingHosts",
    "Shortage",
    "after_claim",
    "assign_numa",
    "assign_storage",
    "attach_nics",
    "check_policies",
    "choose_cores",
    "core_ranges",
    "explain",
    "group_restrictions",
    "group_standing",
    "is_selected",
    "label_notes",
    "match",
    "matching_interfaces",
    "missing_pool",
    "needs_nodes",
    "parse_cidr",
    "parse_interfaces",
    "parse_rules",
    "parse_selector",
    "parse_storage",
    "place",
    "place_sequentially",
    "port_of",
    "referenced_networks",
    "required_functions",
    "resource_capacity",
    "same_seen_by",
    "selector_of_key",
    "selects_subnet",
    "sum_of",
    "with_pending_claims",
    "with_pending_members",
)
