"""What hangs together parts at a neck or where colours change, and a spike is no part."""

from __future__ import annotations

import numpy as np
import pytest

from cutoutd.models.networks.parting import at_a_neck, nearer
from cutoutd.models.planes import Plane

pytestmark = pytest.mark.slow

GREY = np.full((120, 200, 3), 0.5, np.float32)


def discs(neck: int) -> Plane:
    """Two discs, the left one larger, joined by a bar of so many samples."""
    yy, xx = np.mgrid[0:120, 0:200]
    alpha = (np.hypot(yy - 60, xx - 60) < 45) | (np.hypot(yy - 60, xx - 150) < 28)
    alpha[60 - neck // 2 : 60 + neck - neck // 2, 60:150] = True
    return alpha.astype(np.float32)


def test_a_neck_is_where_two_things_part() -> None:
    for neck in (1, 3, 8, 14):
        part = at_a_neck(discs(neck), GREY, (60, 150), 0.6, 24)
        assert part is not None, neck
        assert part[60, 130:175].all()
        assert part[:, :104].sum() == 0, "nothing of the other disc"
        assert not part[20:25, 120:].any(), "nor what is no subject"


def test_a_point_on_the_larger_one_or_on_one_thing_alone_parts_nothing() -> None:
    assert at_a_neck(discs(6), GREY, (60, 60), 0.6, 24) is None
    alone = np.zeros((120, 200), np.float32)
    alone[20:100, 40:160] = 1.0
    assert at_a_neck(alone, GREY, (60, 60), 0.6, 24) is None
    alone[60, 160:190] = 1.0
    assert at_a_neck(alone, GREY, (60, 60), 0.6, 24) is None, "a spike is no rest"


def test_colours_tell_what_is_nearer_to_which_point() -> None:
    alpha = np.zeros((120, 200), np.float32)
    alpha[20:100, 20:180] = 1.0
    colours = GREY.copy()
    colours[:, 130:] = (0.9, 0.2, 0.1)
    part = nearer(alpha, colours, [(60, 140)], [(60, 30)])
    assert part[20:100, 130:180].all()
    assert not part[:, :130].any()


def test_two_points_of_one_colour_part_in_the_middle_and_haze_is_a_longer_way() -> None:
    alpha = np.zeros((20, 101), np.float32)
    alpha[5:15] = 1.0
    part = nearer(alpha, GREY[:20, :101], [(10, 0)], [(10, 100)])
    assert (part[5:15].sum(axis=1) == 50).all() or (part[5:15].sum(axis=1) == 51).all()
    alpha[5:15, 20:30] = 0.2
    assert nearer(alpha, GREY[:20, :101], [(10, 0)], [(10, 100)])[10].sum() < 45
