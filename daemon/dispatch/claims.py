"""What workers say that asks for another try, counted until somebody else sees it too; it looks at nothing itself.

"The outbox is full" or "the photo changed" costs no attempt where it is true. A worker that was taken over could say so
for ever: the photo would never end, and its inbox would pause again and again.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

# So often a photo's worker may say what nobody else sees, before that is an attempt like a worker's death. With the
# pauses between tries it takes two minutes: a share that comes and goes, or a quota, is over by then or worth a name.
MOST_CLAIMS: Final = 6
# A claim about room is believed while less is free than one cutout of the largest photo may need.
ROOM_BYTES: Final = 2_000_000_000


class Claims(Struct):
    """By photo, how often it was claimed what did not show; one instance counts one kind of claim."""

    _counts: dict[int, int] = field(default_factory=dict[int, int])

    def unseen(self, photo: int) -> bool:
        """Counts a claim that nobody else could see. Returns whether that is enough; counting then begins anew."""
        count = self._counts.pop(photo, 0) + 1
        if count < MOST_CLAIMS:
            self._counts[photo] = count
        return count >= MOST_CLAIMS

    def forget(self, photo: int) -> None:
        """It was true, or the photo is done with."""
        self._counts.pop(photo, None)
