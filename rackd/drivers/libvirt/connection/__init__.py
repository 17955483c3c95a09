"""Connections to libvirt: the only package that imports its library."""
