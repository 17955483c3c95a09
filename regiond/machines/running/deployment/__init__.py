"""Deployment: an operating system on a machine, with the cloud-init data of its guest."""
