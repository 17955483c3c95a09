"""The server of libvirt's test driver: no NUMA, and a network device as libvirt 9.0 reports it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rackd.drivers.libvirt.connection.client import Client

PORT = """
<device>
  <name>net_eth3_3c_fd_fe_00_00_01</name><path>/sys/devices/x/net/eth3</path><parent>pci_0000_3b_00_0</parent>
  <capability type='net'>
    <interface>eth3</interface><address>3C:FD:FE:00:00:01</address><link speed='10000' state='up'/>
    <feature name='rx'/><capability type='80203'/>
  </capability>
</device>
"""
PCI_DEVICE = """
<device>
  <name>pci_0000_3b_00_0</name><parent>pci_0000_3a_00_0</parent><driver><name>i40e</name></driver>
  <capability type='pci'>
    <class>0x020000</class><domain>0</domain><bus>59</bus><slot>0</slot><function>0</function>
    <product id='0x1572'>Ethernet Controller X710</product><vendor id='0x8086'>Intel Corporation</vendor>
    <capability type='virt_functions' maxCount='64'>
      <address domain='0x0000' bus='0x3b' slot='0x02' function='0x0'/>
      <address domain='0x0000' bus='0x3b' slot='0x02' function='0x1'/>
    </capability>
    <numa node='1'/>
  </capability>
</device>
"""
FUNCTION = """
<device><name>pci_0000_3b_02_0</name><parent>pci_0000_3a_00_0</parent>
  <capability type='pci'>
    <class>0x020000</class><domain>0</domain><bus>59</bus><slot>2</slot><function>0</function>
    <product id='0x154c'/><vendor id='0x8086'/>
    <capability type='phys_function'><address domain='0x0000' bus='0x3b' slot='0x00' function='0x0'/></capability>
  </capability>
</device>
"""

# The test driver does not know the devices in between: these are children of `computer`.
_DEVICES = "".join(device.replace("pci_0000_3a_00_0", "computer") for device in (PCI_DEVICE, PORT, FUNCTION))
NODE = f"""<node>
  <cpu>
    <mhz>2000</mhz><model>x86_64</model><active>8</active><nodes>2</nodes><sockets>1</sockets><cores>4</cores>
    <threads>1</threads>
  </cpu>
  <memory>16777216</memory>
  <pool type="dir"><name>main</name><target><path>/ikdrv/main</path></target></pool>
  <network>
    <name>default</name><bridge name="virbr0"/>
    <ip address="192.168.122.1" netmask="255.255.255.0"><dhcp>
      <range start="192.168.122.2" end="192.168.122.9"/>
    </dhcp></ip>
  </network>
  <interface type="bridge" name="br0"><start mode="onboot"/><bridge/></interface>
  <interface type="ethernet" name="eth3"><start mode="onboot"/></interface>
  {_DEVICES}
</node>
"""


@contextmanager
def opened(folder: Path, node: str = NODE) -> Iterator[Client]:
    """Yields a connection to such a server, which exists while a connection is open."""
    file = folder / "node.xml"
    file.write_text(node)
    client = Client.open(f"test://{file}")
    yield client
    client.close()
