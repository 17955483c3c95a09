"""The public functions of placement: filter, score, choose, match, explain; parse constraints. Pure."""

from __future__ import annotations

from regiond.placement.bipartite_matching import Shortage, match
from regiond.placement.cpu_pinning import core_ranges
from regiond.placement.evaluation import evaluate
from regiond.placement.explanation import explain
from regiond.placement.interface_matching import matching_interfaces
from regiond.placement.interface_parser import parse_interfaces
from regiond.placement.network_selectors import parse_cidr, parse_selector, referenced_networks, selector_of_key
from regiond.placement.nic_attachment import required_functions
from regiond.placement.ranking import place
from regiond.placement.sequential import after_claim, place_sequentially, with_pending_claims
from regiond.placement.storage_parser import parse_storage

__all__ = (
    "Shortage",
    "after_claim",
    "core_ranges",
    "evaluate",
    "explain",
    "match",
    "matching_interfaces",
    "parse_cidr",
    "parse_interfaces",
    "parse_selector",
    "parse_storage",
    "place",
    "place_sequentially",
    "referenced_networks",
    "required_functions",
    "selector_of_key",
    "with_pending_claims",
)
