"""The Debian packages: `build` makes them in a chroot, the modules write what debian/rules cannot."""
