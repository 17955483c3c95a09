"""What a server that does not answer is called: by its product, as the last discovery run found it."""

from __future__ import annotations

from uuid import UUID

import pytest

from common.errors import HostUnreachable
from common.values import DriverType, HostAccess
from rackd.drivers.lxd.factory import CERTIFICATE, KEY, LxdDriverFactory
from tests.doubles.lxd_answers import key_pair
from tests.support.ports import free_port


@pytest.mark.parametrize(("product", "words"), [("Incus", "Incus at"), ("LXD", "LXD at"), ("", "LXD at")])
def test_a_server_that_is_down_is_called_by_its_product(product: str, words: str) -> None:
    pair = key_pair()
    access = HostAccess(
        host_id=1, driver=DriverType.LXD, address=f"https://127.0.0.1:{free_port()}", installation_id=UUID(int=1),
        pinned=pair.certificate_pem, credentials={CERTIFICATE: pair.certificate_pem, KEY: pair.key_pem},
        product=product,
    )  # fmt: skip
    driver = LxdDriverFactory().open(access)
    with pytest.raises(HostUnreachable, match=words):
        driver.discover()
    driver.close()
