"""The pages of networks: fabrics, VLANs, subnets, spaces and IP ranges."""
