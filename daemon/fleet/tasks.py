"""What a node is asked in Dask's name, and the topics under which is told of nodes; what they do is `node.py`'s.

The relay imports this module too, for Dask sends a function, which `join` is, by its name.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Final, Protocol

# The topic under which a node tells of itself between joinings.
NEWS: Final = "cutoutd-news"
# The topic under which it says what came of a photo.
ANSWERS: Final = "cutoutd-answers"
# The topic under which the scheduler tells that a node is gone.
GONE: Final = "cutoutd-gone"


class NodeSays(StrEnum):
    """What a node may tell of itself between joinings."""

    LEAVING = "leaving"  # it takes nothing more, and finishes what it has
    UNFIT = "unfit"  # it cannot work, and says why
    WELL = "well"  # it can again


class NodeServer(Protocol):
    """The node of this process."""

    def join(self, terms: str) -> str:
        """Agrees to a head's terms, or says why not; may take as long as a worker needs to start."""
        ...

    async def photo(self, job: str) -> str:
        """Cuts out one photo and waits for it."""
        ...

    def drop(self, life: str, call: int) -> None:
        """Ends the worker that has this photo."""
        ...


_node: list[NodeServer] = []


def serve(node: NodeServer) -> None:
    """This process is that node from now on."""
    _node[:] = [node]


async def join(terms: str) -> str:
    """Runs beside the connection, which stays alive meanwhile."""
    return await asyncio.to_thread(_node[0].join, terms)
