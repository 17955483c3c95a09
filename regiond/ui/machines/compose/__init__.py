"""The form that composes a VM."""
