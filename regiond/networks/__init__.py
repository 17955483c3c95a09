"""Fabrics, VLANs, subnets, spaces and IP ranges; which networks host interfaces are on."""
