"""Decides from the settings whether traces are exported, and where to; imports OpenTelemetry only then."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from common.errors import BadSettings
from common.tracing.spans import NO_TRACES, Tracer

PATH = "/v1/traces"  # of OTLP, if the endpoint names none

ENDPOINT_DOC = (
    "The collector to which traces are sent by OTLP over HTTP, such as http://127.0.0.1:4318. Without it "
    "there are no traces. Needs the extra innkeeper[traces], which the Debian packages have."
)
RATIO_DOC = "The part of the requests and operations that are traced; 1 is all of them."
HEADERS_DOC = "The file with a header per line for the collector, such as Authorization: Bearer abc. Read at the start."
CA_DOC = "The file with the certificates that the collector's must be signed by, PEM. Default: those of this computer."


@frozen(kw_only=True)
class TraceOptions:
    """The settings of a daemon about traces."""

    endpoint: str | None
    ratio: float
    headers: Path | None
    ca: Path | None


def open_tracer(options: TraceOptions, *, service: str, instance: str) -> Tracer:
    """Returns what begins the traces of this process; the caller stops it. Raises BadSettings."""
    if options.endpoint is None:
        return NO_TRACES
    url, headers, ca = _url(options.endpoint), _headers(options.headers), _certificates(options.ca)
    try:
        from common.tracing.opentelemetry_tracer import (  # noqa: PLC0415  # costs 0.3 s and 20 MB
            Destination,
            OpenTelemetryTracer,
        )
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        raise BadSettings(
            f"traces_endpoint needs OpenTelemetry, but {missing} is not installed: install innkeeper[traces].",
            setting="traces_endpoint",
        ) from error
    return OpenTelemetryTracer(
        Destination(url=url, headers=headers, ca=ca), service=service, instance=instance, ratio=options.ratio
    )


def _url(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise BadSettings("traces_endpoint is not a URL such as http://127.0.0.1:4318.", setting="traces_endpoint")
    if parts.username is not None or parts.query or parts.fragment:
        raise BadSettings(
            "traces_endpoint must have no user, query or fragment: put secrets into the file of traces_headers.",
            setting="traces_endpoint",
        )
    return parts._replace(path=parts.path if parts.path.strip("/") else PATH).geturl()


def _headers(file: Path | None) -> Mapping[str, str]:
    if file is None:
        return {}
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"Cannot read traces_headers {file}: {error}", setting="traces_headers") from error
    found = [line.partition(":") for line in lines if line.strip()]
    if not all(name.strip().isascii() and name.strip() and colon for name, colon, _ in found):
        raise BadSettings(
            f"traces_headers {file} has a line that is not like: Authorization: Bearer abc", setting="traces_headers"
        )
    return {name.strip(): value.strip() for name, _, value in found}


def _certificates(file: Path | None) -> str | None:
    if file is None:
        return ssl.get_default_verify_paths().cafile  # else requests trusts a list of its own
    try:
        ssl.create_default_context(cafile=str(file))
    except (OSError, ssl.SSLError) as error:
        raise BadSettings(f"traces_ca {file} has no certificates: {error}", setting="traces_ca") from error
    return str(file)
