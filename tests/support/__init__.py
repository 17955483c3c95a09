"""Helpers of all suites: clocks, waiting, ports, certificates, images."""
