"""Serializers of VM hosts and clusters."""
