"""Reads metrics as Prometheus does."""

from __future__ import annotations

import treq
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from twisted.web.http_headers import Headers

from common.process.deferreds import from_deferred

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


async def answer(
    port: int | None, path: str = "metrics", *, method: str = "GET", **headers: str
) -> tuple[int, str, bytes]:
    """Returns status, content type and body."""
    assert port is not None, "metrics are switched off"
    url = f"http://127.0.0.1:{port}/{path}"
    response = await from_deferred(
        treq.request(method, url, headers=Headers({name: [text] for name, text in headers.items()}), persistent=False)
    )
    body = await from_deferred(response.content())
    return response.code, response.headers.getRawHeaders("content-type", [""])[0], body


async def samples_of(port: int | None) -> list[Sample]:
    status, _, body = await answer(port, Accept=OPENMETRICS)
    assert status == 200
    families = text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]
    return [sample for family in families for sample in family.samples]


def value(samples: list[Sample], name: str, **labels: str) -> float | None:
    """Returns the sum of the samples with these labels; None if there is none."""
    found = [one.value for one in samples if one.name == name and labels.items() <= one.labels.items()]
    return sum(found) if found else None
