"""`cutoutd fleet scheduler`: Dask's scheduler with our certificates, roles and settings; no photo passes it."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cutoutd.config.errors import EngineError
from cutoutd.config.fleet import DEFAULT_PORT
from cutoutd.daemon.fleet import dask
from cutoutd.daemon.fleet.roles import Role

_LOG = logging.getLogger("cutoutd")


async def serve(address: str, certificates: Path, folder: Path, *, listen: str = "") -> None:
    """Listens until SIGTERM or Ctrl-C.

    Args:
        address: as in [fleet]: its port is listened on.
        certificates: the folder with the head's.
        folder: for what Dask keeps while it runs.
        listen: the address of one interface to listen on; empty, all of them.

    Raises:
        EngineError: the package distributed is missing, or the port cannot be had.
    """
    security = dask.security(certificates, Role.HEAD)
    port = urlsplit(address).port or DEFAULT_PORT
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        scheduler: Any = dask.scheduler_class()(
            host=listen or None,
            port=port,
            protocol="tls://",
            security=security,
            dashboard=False,
            local_directory=str(folder),
        )
        await scheduler
    except OSError as error:
        raise EngineError(
            f"The scheduler cannot listen on port {port} ({error.strerror or error})"
        ) from error
    _LOG.info("the scheduler listens on %s; only certificates of this fleet are let in", scheduler.address)
    await stopped.wait()
    await scheduler.close(reason="told to stop")
