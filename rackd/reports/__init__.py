"""Reports of guests that cloud-init sends."""
