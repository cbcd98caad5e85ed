"""Overlays: colour where the numbers say so, a frame around the place that is meant, the rest as it was."""

from __future__ import annotations

import numpy as np
import pytest

from demo_app.viz.overlay import OPACITY, STRONG, framed, heat

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def test_nothing_matters_makes_it_grey_and_all_makes_it_yellow() -> None:
    grey = heat(PICTURE, np.zeros((4, 4), np.float32))
    assert (grey == grey[..., :1]).all()
    strong = heat(PICTURE, np.ones((4, 4), np.float32))
    np.testing.assert_allclose(strong, (1 - OPACITY) * grey + OPACITY * np.array(STRONG), atol=1)


def test_colour_is_where_the_strength_is() -> None:
    strength = np.zeros((4, 6), np.float32)
    strength[3, 0] = 1  # below, at the left
    coloured = np.ptp(heat(PICTURE, strength).astype(int), axis=2)
    assert coloured[-8:, :8].mean() > 30
    assert coloured[:32, 48:].max() == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_do_not_break_it(bad: float) -> None:
    assert heat(PICTURE, np.full((2, 2), bad, np.float32)).shape == PICTURE.shape


def test_the_frame_is_around_its_place_and_nothing_else_changes() -> None:
    found = framed(PICTURE, 1, 2, (4, 6))  # rows 16 to 31, columns 32 to 47
    changed = (found != PICTURE).any(axis=2)
    assert not changed[:16].any()
    assert not changed[32:].any()
    assert not changed[20:28, 36:44].any()
    assert (found[16, 32:48] == 0).all()
    assert (found[18, 34:46] == 255).all()
    assert not np.shares_memory(found, PICTURE)


def test_places_too_small_for_a_frame_are_still_marked() -> None:
    assert (framed(PICTURE, 0, 0, (64, 96)) != PICTURE).any()
