"""The drop-in address: the proxies of docs/examples/drop-in-address/ before a region and a MAAS without VM hosts."""
