"""Backups of the installation in one encrypted file, and their restoration."""
