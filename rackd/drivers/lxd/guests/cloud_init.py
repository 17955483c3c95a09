"""Cloud-init data in an instance's config. Pure."""

from __future__ import annotations

import json
from collections.abc import Container

from common.deployment_spec import CloudInitSeed
from common.errors import InvalidRequest, Unsupported

_EXTENSION = "cloud_init"  # without it the keys start with `user.`
USER_DATA, NETWORK_CONFIG, META_DATA = "user-data", "network-config", "user.meta-data"
KEYS = frozenset(
    {META_DATA, "cloud-init.vendor-data", "user.vendor-data"}
    | {f"{namespace}.{name}" for namespace in ("cloud-init", "user") for name in (USER_DATA, NETWORK_CONFIG)}
)
# Each discovery run reads the config of all instances, twice: as their own and as expanded by profiles. 200 guests with
# so much are listed within `response_body.MAX_BODY_BYTES`.
MAX_USER_DATA_BYTES = 128 * 1024


def key(name: str, extensions: Container[str]) -> str:
    return f"{'cloud-init' if _EXTENSION in extensions else 'user'}.{name}"


def config_of(seed: CloudInitSeed, extensions: Container[str]) -> dict[str, str]:
    """Raises Unsupported for too much user data, InvalidRequest if it is not text, the only form that LXD stores."""
    if len(seed.user_data) > MAX_USER_DATA_BYTES:
        raise Unsupported(
            f"The user data has {len(seed.user_data)} bytes with what Innkeeper adds; on LXD hosts it can have at most "
            f"{MAX_USER_DATA_BYTES}. Let it fetch the rest, or deploy on a libvirt host."
        )
    try:
        user_data = seed.user_data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"LXD stores only text as user data: {error}.") from error
    return {
        key(USER_DATA, extensions): user_data,
        key(NETWORK_CONFIG, extensions): seed.network_config,
        META_DATA: _meta_data(seed),
    }


def _meta_data(seed: CloudInitSeed) -> str:
    """Returns one line of YAML per key.

    LXD writes `instance-id` and `local-hostname` of its own before them; cloud-init uses the last line with a key.
    """
    lines = (f"{name}: {json.dumps(value, ensure_ascii=False)}\n" for name, value in json.loads(seed.meta_data).items())
    return "".join(lines)
