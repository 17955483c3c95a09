"""Decides which peers may keep a link: racks that are members, and valid RPC clients."""

from __future__ import annotations

from common.errors import NotAllowed
from common.rpc.peers import Peer
from common.trust.certificates import Role
from regiond.db.pool import Database
from regiond.racks import store
from regiond.racks.admission_model import peer_id, require_admission
from regiond.racks.enrolment.rejections import Rejections
from regiond.racks.enrolment.rpc_clients import RpcClients


class Admission:
    """Admits peers to one region process."""

    def __init__(self, database: Database, clients: RpcClients) -> None:
        self._database = database
        self._clients = clients
        self._rejections = Rejections(database)

    async def admit(self, peer: Peer) -> None:
        """Raises NotAllowed for a removed, revoked, disabled or unknown peer. The link has checked its certificate."""
        if peer.role is Role.CLIENT:
            await self._clients.caller_of(peer)
            return
        if peer.role is not Role.RACK:
            raise NotAllowed(f"{peer} is neither a rack nor an RPC client.")
        async with self._database.connection() as db:
            known = await store.membership(db, peer_id(peer))
        try:
            require_admission(peer.id, known)
        except NotAllowed as error:
            await self._rejections.record_connection(peer, error)
            raise
