"""The addresses of this region that join tokens, instructions and other regions receive."""

from __future__ import annotations

import socket

from regiond.process.settings import ALL_ADDRESSES, RegionSettings


class AdvertisedAddresses:
    """The addresses. They exist before the region listens; the service sets ports that the system chose (setting 0)."""

    def __init__(self, settings: RegionSettings) -> None:
        self._settings = settings
        self.http_port = settings.http_port
        self.rpc_port: int | None = None  # None until the region listens for racks

    def rpc(self) -> str:
        """Returns host:port."""
        settings = self._settings
        return settings.rpc_address or f"{settings.rpc_host}:{self.rpc_port or settings.rpc_port}"

    def rpc_if_listening(self) -> str | None:
        """Returns host:port; None until racks can connect."""
        return self.rpc() if self.rpc_port else None

    def public_url(self) -> str:
        """Returns scheme, host and port of the API as users and servers reach it."""
        if self._settings.public_url:
            return self._settings.public_url.rstrip("/")
        host = self._settings.http_host
        return self._url(socket.gethostname() if host in ALL_ADDRESSES else host)

    def guest_url(self) -> str:
        """Returns the URL, without a slash at its end, at which deployed guests report."""
        return (self._settings.guest_url or self.public_url()).rstrip("/")

    def local_url(self) -> str:
        """Returns scheme, host and port of the API for commands on this computer."""
        host = self._settings.http_host
        return self._url("::1" if host == "::" else "127.0.0.1" if host in ALL_ADDRESSES else host)

    def _url(self, host: str) -> str:
        return f"{self._settings.http_scheme}://{f'[{host}]' if ':' in host else host}:{self.http_port}"
