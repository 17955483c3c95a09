"""Opens the database, and the keys, secrets and certificate authority that open its contents."""

from __future__ import annotations

import os
import socket
from contextlib import AsyncExitStack

from common.process.private_files import make_usable_folder
from common.tracing.export import open_tracer
from common.tracing.spans import NO_TRACES
from common.values import Autostart
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.master_key import open_master_key
from regiond.credentials.service import Credentials
from regiond.db.history import ServerHistory
from regiond.db.migrate import migrate
from regiond.db.pool import Database
from regiond.db.unfinished_restore import check_restored
from regiond.machines.hardware.autostart import set_default as set_default_autostart
from regiond.operations.idempotency.service import IdempotencyKeys
from regiond.process.settings import RegionSettings
from regiond.racks.enrolment.installation import is_new_installation, open_authority
from regiond.racks.service import read_installation_id
from regiond.recovery.fail_over import FailOver
from regiond.wiring.components import Storage


async def open_storage(settings: RegionSettings, running: AsyncExitStack) -> Storage:
    dsn = settings.required_database
    tracer = open_tracer(settings.traces, service="regiond", instance=socket.gethostname())
    running.push_async_callback(tracer.stop)
    make_usable_folder(settings.state)
    fail_over = FailOver(ServerHistory.open(settings.state))
    await check_restored(dsn, settings.state)
    await migrate(dsn, history=fail_over.history)
    database = await Database.open(dsn, history=fail_over.history, traced=tracer is not NO_TRACES)
    running.push_async_callback(database.close)
    async with database.transaction() as db:
        master_key = open_master_key(settings.state, os.environ, create=await is_new_installation(db))
        credentials = Credentials(master_key)
        await credentials.check(db)
        authority = await open_authority(db, settings.state)
        installation_id = await read_installation_id(db)
        await set_default_autostart(db, Autostart(settings.autostart))
    return Storage(
        dsn=dsn,
        fail_over=fail_over,
        database=database,
        credentials=credentials,
        key_pairs=KeyPairs(master_key, installation_id=installation_id, server_name=socket.gethostname()),
        idempotency_keys=await IdempotencyKeys.open(database, credentials),
        authority=authority,
        installation_id=installation_id,
        tracer=tracer,
    )
