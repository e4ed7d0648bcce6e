"""What runs on a node in Dask's name: three functions, told apart by name; what they do is `node.py`'s business.

The relay imports this module too, for Dask sends functions by their names.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

# The topic under which a node tells of itself between joinings.
TOPIC: Final = "cutoutd"


class NodeServer(Protocol):
    """The node of this process."""

    def join(self, terms: str) -> str:
        """Agrees to a head's terms, or says why not; may take as long as a worker needs to start."""
        ...

    def photo(self, order: str) -> str:
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


def photo(order: str) -> str:
    """Runs in one of the node's threads."""
    return _node[0].photo(order)


def drop(life: str, call: int) -> None:
    """Returns at once."""
    _node[0].drop(life, call)
