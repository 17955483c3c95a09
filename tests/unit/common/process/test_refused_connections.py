"""A refused connection is logged once a minute, whatever Twisted calls it."""

from __future__ import annotations

from structlog.testing import capture_logs

from common.process.refused_connections import RefusedConnections


def test_refused_connections_are_logged_once() -> None:
    observer = RefusedConnections()
    with capture_logs() as logs:
        observer({"log_format": "EMFILE encountered; releasing reserved file descriptor."})
        observer({"log_format": "Could not accept new connection ({acceptError})"})
        observer({"log_format": "Stopping reactor"})
        observer({})
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("connections_refused", "warning")
    assert "LimitNOFILE" in line["reason"]
