from __future__ import annotations

import pytest

from cutoutd.config import presets
from cutoutd.config.output import Deliverable, Output
from cutoutd.config.presets import expand


@pytest.mark.parametrize("name", presets.builtin())
def test_every_built_in_preset_is_a_valid_order(name: str) -> None:
    order = Deliverable(**expand({"preset": name}))
    assert order.preset == order.label == name
    assert presets.builtin()[name].about


@pytest.mark.parametrize("name", presets.packs()["marketplaces"])
def test_every_marketplace_names_its_rule_and_the_page_that_states_it(name: str) -> None:
    row = presets.builtin()[name]
    assert row.rule
    assert row.source.startswith("https://")
    order = Output(**expand({"preset": name}))
    assert order.background == "white"
    assert order.format == "jpeg"


def test_product_white_is_what_marketplaces_ask_for() -> None:
    order = Output(**expand({"preset": "product-white"}))
    assert (order.canvas_pixels, order.scale, order.background) == ((2000, 2000), 85, "white")


def test_what_the_user_writes_wins_over_the_preset() -> None:
    order = Output(**expand({"preset": "product-white", "format": "png", "scale": 70}))
    assert (order.format, order.scale, order.canvas) == ("png", 70, "2000x2000")


def test_without_a_preset_nothing_changes() -> None:
    raw = {"format": "webp"}
    assert expand(raw) == raw
    assert expand(raw) is not raw


def test_own_presets_build_on_others_and_may_replace_a_built_in() -> None:
    custom = {
        "shop": {"preset": "amazon", "quality": 80},
        "outlet": {"preset": "shop", "scale": 60},
        "web": {"preset": "web", "quality": 50},
    }
    assert expand({"preset": "outlet"}, custom) == {
        "format": "jpeg",
        "quality": 80,
        "background": "white",
        "canvas": "2000x2000",
        "scale": 60,
        "preset": "outlet",
    }
    assert expand({"preset": "web"}, custom)["quality"] == 50
    assert expand({"preset": "web"}, custom)["format"] == "webp"


def test_a_circle_of_presets_is_refused() -> None:
    with pytest.raises(ValueError, match="circle: a > b > a"):
        expand({"preset": "a"}, {"a": {"preset": "b"}, "b": {"preset": "a"}})


@pytest.mark.parametrize(("typo", "meant"), [("prodct-white", "product-white"), ("amazn", "amazon")])
def test_a_typo_gets_the_nearest_name(typo: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f'did you mean "{meant}"'):
        expand({"preset": typo})


def test_nothing_like_a_preset_gets_the_list() -> None:
    with pytest.raises(ValueError, match="these exist: product-white"):
        expand({"preset": "zzzz"})


def test_a_pack_is_unpacked_in_order_and_refused_as_one_preset() -> None:
    assert presets.unpack(["web", "marketplaces", "amazon"]) == (
        "web",
        "amazon",
        "ebay",
        "etsy",
        "shopify",
        "instagram",
    )
    with pytest.raises(ValueError, match="pack"):
        expand({"preset": "marketplaces"})
    assert all(name in presets.builtin() for pack in presets.packs().values() for name in pack)
