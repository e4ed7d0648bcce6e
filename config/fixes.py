"""What the owner of one photo says of its subject: points that belong to it and points that do not."""

from __future__ import annotations

from msgspec import Struct

from cutoutd.config.lengths import parse_point

# More corrections than this are a mask's work.
MOST_POINTS = 50
# A mask of a large photo, uncompressed.
MOST_MASK_BYTES = 200_000_000


class Fixes(Struct, frozen=True):
    """Corrections for one photo.

    `keep` and `remove` are points "x,y" in px or %, counted from the top left corner of the photo as it is seen:
    what lies there belongs to the subject, or does not.
    """

    keep: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.keep or self.remove)

    @classmethod
    def of(cls, keep: tuple[str, ...], remove: tuple[str, ...]) -> Fixes:
        """Corrections from what somebody typed.

        Raises:
            ValueError: one is no point, or there are more than `MOST_POINTS`.
        """
        for text in (*keep, *remove):
            parse_point(text)
        if len(keep) + len(remove) > MOST_POINTS:
            raise ValueError(
                f"{len(keep) + len(remove)} points are too many: give {MOST_POINTS} at most, or a mask"
            )
        return cls(keep, remove)


NOTHING_FIXED = Fixes()
