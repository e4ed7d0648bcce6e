"""What runs on a node in Dask's name: three functions, told apart by name; what they do is `node.py`'s business.

The relay imports this module too, for Dask sends functions by their names.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from cutoutd.daemon.fleet import dask

# The topic under which a node tells of itself between joinings.
NEWS: Final = "cutoutd-news"
# The topic under which it says what came of a photo.
ANSWERS: Final = "cutoutd-answers"


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


async def photo(job: str, token: str) -> None:
    """Runs beside the connection; says the answer under the token that came with the job.

    It is said, not returned: a result is kept by the node until the head asks for it, which takes two connections more.
    """
    answer = await _node[0].photo(job)
    dask.say(ANSWERS, {"token": token, "answer": answer})


def drop(life: str, call: int) -> None:
    """Returns at once."""
    _node[0].drop(life, call)
