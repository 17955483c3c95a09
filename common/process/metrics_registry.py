"""Registry for the metrics of one daemon: the release, and what the system knows of the process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Info, ProcessCollector

from common.release import running_release


def daemon_registry(program: str) -> CollectorRegistry:
    """Returns a registry of its own, since tests run several daemons in one process.

    It has the standard metrics `process_…` of Prometheus, such as memory and open file descriptors.
    """
    registry = CollectorRegistry()
    build = Info("innkeeper_build", "The release that runs.", registry=registry)
    build.info({"version": running_release(), "program": program})
    ProcessCollector(registry=registry)
    return registry
