"""Sends the audit trail to another system as it grows: position, formats, senders."""
