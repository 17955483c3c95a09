"""The drop-in address: the proxies of docs/examples/drop-in-address/ in front of a region and a MAAS without VM hosts."""
