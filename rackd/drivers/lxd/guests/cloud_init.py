"""Cloud-init data in an instance's config. Pure."""

from __future__ import annotations

import json

from common.errors import InvalidRequest, Unsupported
from common.guests.deployment_spec import CloudInitSeed
from rackd.drivers.lxd.connection.capabilities import Capabilities

USER_DATA, NETWORK_CONFIG, META_DATA = "user-data", "network-config", "user.meta-data"
NETWORK_KEYS = frozenset({f"cloud-init.{NETWORK_CONFIG}", f"user.{NETWORK_CONFIG}"})
KEYS = NETWORK_KEYS | {
    META_DATA, "cloud-init.vendor-data", "user.vendor-data", f"cloud-init.{USER_DATA}", f"user.{USER_DATA}",
}  # fmt: skip
# Each discovery run reads the config of all instances, twice: as their own and as expanded by profiles. 200 guests with
# so much are listed within `response_body.MAX_BODY_BYTES`.
MAX_USER_DATA_BYTES = 128 * 1024


def key(name: str, capabilities: Capabilities) -> str:
    return f"{'cloud-init' if capabilities.cloud_init_keys else 'user'}.{name}"


def config_of(seed: CloudInitSeed, capabilities: Capabilities) -> dict[str, str]:
    """Has the short user data if there is more than MAX_USER_DATA_BYTES.

    Raises Unsupported if the short ones are too long too: that is many SSH keys. Raises InvalidRequest if they are not
    text, the only form that the server stores.
    """
    product, content = capabilities.dialect.product, _stored(seed)
    if len(content) > MAX_USER_DATA_BYTES:
        raise Unsupported(
            f"What Innkeeper adds to the user data, with the SSH keys, has {len(content)} bytes; on {product} hosts it "
            f"can have at most {MAX_USER_DATA_BYTES}. Deploy on a libvirt host, or with fewer SSH keys."
        )
    try:
        user_data = content.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{product} stores only text as user data: {error}.") from error
    return {
        key(USER_DATA, capabilities): user_data,
        key(NETWORK_CONFIG, capabilities): seed.network_config,
        META_DATA: _meta_data(seed),
    }


def is_shortened(seed: CloudInitSeed) -> bool:
    """Returns whether the guest has to fetch the rest of its user data."""
    return seed.short_user_data is not None and len(seed.user_data) > MAX_USER_DATA_BYTES


def _stored(seed: CloudInitSeed) -> bytes:
    return seed.short_user_data if seed.short_user_data is not None and is_shortened(seed) else seed.user_data


def _meta_data(seed: CloudInitSeed) -> str:
    """Returns one line of YAML per key.

    LXD writes `instance-id` and `local-hostname` of its own before them; cloud-init uses the last line with a key.
    """
    lines = (f"{name}: {json.dumps(value, ensure_ascii=False)}\n" for name, value in json.loads(seed.meta_data).items())
    return "".join(lines)
