"""Replies that need no endpoint: a moved path, an unknown one, a shutdown, the health of the region."""

from __future__ import annotations

from regiond.api.http.site_request import SiteRequest, header
from regiond.api.replies import Reply, json_reply, text_reply
from regiond.api.urls import BASE
from regiond.process.health import Health

RESTART_S = 5
_MAX_SHOWN_PATH = 200


def shutdown_reply(request: SiteRequest) -> Reply:
    """503 to a change that a shutdown interrupts; with an idempotency key it is safe to repeat."""
    headers = {"Retry-After": str(RESTART_S)} if header(request, "Idempotency-Key") else {}
    return text_reply("This region is shutting down.", status=503, headers=headers)


def not_found_text(request: SiteRequest) -> str:
    """MAAS's words for an unknown endpoint of its API: Juju tolerates an endpoint that is missing only by this text."""
    path = request.path.decode("utf-8", "replace")
    return f"Unknown API endpoint: {path[:_MAX_SHOWN_PATH]}" if path.startswith(BASE) else "Not Found"


async def moved(request: SiteRequest) -> Reply:
    """Returns the redirect to the path with a final slash."""
    path, question_mark, query = request.uri.partition(b"?")
    location = path + b"/"  # runs of slashes are merged: two leading ones would name another host
    return text_reply("Moved.", status=301, headers={"Location": (location + question_mark + query).decode("latin-1")})


def ready_reply(health: Health) -> Reply:
    """200 or 503, for load balancers."""
    reason = health.not_ready
    return text_reply("ready") if reason is None else text_reply(f"not ready: {reason}", status=503)


def health_reply(health: Health) -> Reply:
    """The state of each part, with the status of `ready_reply`: what is degraded does not stop the region."""
    parts = {
        one.name: {"status": one.status} | ({} if one.problem is None else {"reason": one.problem})
        for one in health.parts
    }
    return json_reply({"status": health.status, "parts": parts}, status=200 if health.not_ready is None else 503)
