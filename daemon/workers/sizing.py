"""How many workers there are, and which of them may load a large network; pure, it starts nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from msgspec import Struct

from cutoutd.models.machine import cores
from cutoutd.models.networks.catalog import ModelSpec

# A worker with the bundled network needs well under a gigabyte, a 150-megapixel photo about two more.
RAM_PER_WORKER = 2 * 10**9
# A large network has one worker and the small ones beside it another, so that neither waits for the other.
BESIDE_A_LARGE_ONE = 2


class PoolSize(Struct, frozen=True):
    """Slots 0 to `size` - 1, of which the first `large` load every network and the others small ones only.

    A large network (`ModelSpec.once_per_machine`) works on one photo for seconds. Where small networks are in use
    too, a slot is kept for them: a new photo's draft does not wait for the final that is being made.
    """

    size: int
    large: int

    def slots(self, *, large: bool) -> tuple[int, ...]:
        """The slots that can take a photo for such a network, best first: small ones leave room for large ones."""
        able_to_all = tuple(range(self.large))
        return able_to_all if large else (*range(self.large, self.size), *able_to_all)


def pool_size_for(
    specs: Sequence[ModelSpec], asked: int, *, ram: Callable[[], int] | None = None, processors: int = 0
) -> PoolSize:
    """How many workers these networks get.

    Args:
        specs: every network that the settings name.
        asked: how many workers the user wants; 0 means one per core within the memory, or for a large network
            one, and one more for small networks beside it.
        ram: the machine's bytes of memory; asked only when needed.
        processors: the machine's cores; 0 counts them.
    """
    large = any(spec.once_per_machine for spec in specs)
    small = any(not spec.once_per_machine for spec in specs)
    if not asked:
        most = (BESIDE_A_LARGE_ONE if small else 1) if large else processors or cores()
        asked = 1 if most == 1 else max(1, min(most, (ram or ram_bytes)() // RAM_PER_WORKER))
    return PoolSize(asked, max(1, asked - 1) if large and small else asked)


def ram_bytes() -> int:
    """Memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
