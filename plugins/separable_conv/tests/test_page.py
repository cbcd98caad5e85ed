"""The tab in a real browser, as a visitor meets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from demo_app_separable_conv.lessons import ASSETS
from playwright.sync_api import expect

from demo_app.serving.server import Server
from demo_app.testing import DemoHost

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[3]
TABS = ("Filters and sums", "What it costs", "Twins", "Attention", "Many pictures", "How it works")


@pytest.fixture(scope="module")
def server(demo_host: DemoHost) -> Server:
    return demo_host.server


def test_a_picture_of_ones_own_is_named_and_its_sums_can_be_read(server: Server, visit: Any) -> None:
    seen = visit(server.url)
    page = seen.page
    formula = page.locator(".viz-lesson", has_text="channel 0 at (")
    opened_with = formula.inner_text()
    page.get_by_role("button", name="Remove Image").click()
    page.locator("input[type=file]").first.set_input_files(ASSETS / "horse.png")
    page.get_by_role("button", name="Remove Image").wait_for()  # it is uploaded
    page.get_by_role("button", name="Classify", exact=True).click()
    expect(page.get_by_test_id("label-output-value")).to_contain_text("horse")
    expect(formula).not_to_have_text(opened_with)
    mixed = page.get_by_role("group", name="What the pointwise convolution mixes of them")
    mixed.get_by_role("button", name="channel 3", exact=True).click()
    expect(page.locator(".viz-lesson", has_text="channel 3 at (")).to_be_visible()
    assert seen.complaints == []
    assert seen.strangers(server.url) == []


def test_a_convolution_is_counted_as_a_slider_moves_and_measured_on_a_click(server: Server, visit: Any) -> None:
    seen = visit(server.url)
    page = seen.page
    seen.open("What it costs")
    expect(page.get_by_text("1 / 128 + 1 / 9 = 0.119")).to_be_visible()
    kernel = page.get_by_role("spinbutton", name="Kernel K")
    kernel.fill("5")
    kernel.press("Enter")
    expect(page.get_by_text("1 / 128 + 1 / 25 = 0.048")).to_be_visible()
    page.get_by_role("button", name="Measure it on this machine").click()
    expect(page.get_by_text("Milliseconds on this machine, just now")).to_be_visible()
    assert seen.complaints == []


def attended(page: Any) -> Any:
    """The picture in the tab Attention. Found by its label: the tab is open before its picture is there."""
    return page.locator(".block").filter(has_text="Click a place: who does it look at?").locator("img")


def test_a_click_on_a_place_shows_what_it_looks_at(server: Server, visit: Any) -> None:
    seen = visit(server.url)
    page = seen.page
    seen.open("Attention")
    picture = attended(page)
    before = picture.get_attribute("src")
    picture.click(position={"x": 60, "y": 60})
    expect(picture).not_to_have_attribute("src", before)
    expect(page.get_by_text("γ began at 0").first).to_be_visible()
    assert seen.complaints == []


def examples(page: Any) -> Any:
    return page.get_by_role("button").filter(has=page.locator("img"))


def test_the_attention_of_a_place_goes_with_its_picture(server: Server, visit: Any) -> None:
    seen = visit(server.url)
    page = seen.page
    seen.open("Attention")
    attended(page).click(position={"x": 60, "y": 60})
    expect(page.get_by_text("(framed) looks most at")).to_be_visible()
    examples(page).nth(1).click()
    expect(page.get_by_test_id("label-output-value")).to_contain_text("horse")
    expect(page.get_by_text("(framed) looks most at")).to_have_count(0)
    expect(page.get_by_text("γ began at 0")).to_be_visible()


def test_the_twins_answers_go_with_their_picture(server: Server, visit: Any) -> None:
    seen = visit(server.url)
    page = seen.page
    seen.open("Twins")
    hint = page.get_by_text("Is a ninth of the arithmetic a ninth as good?")
    button, answers = page.get_by_role("button", name="Show the picture above"), page.get_by_text("one picture, now")
    button.click()
    expect(answers).to_be_visible()
    examples(page).nth(1).click()
    expect(hint).to_be_visible()
    button.click()
    expect(answers).to_be_visible()
    page.get_by_role("button", name="Remove Image").click()
    page.locator("input[type=file]").first.set_input_files(ASSETS / "cat.jpg")
    expect(hint).to_be_visible()


def test_a_measurement_goes_when_another_shape_is_chosen(server: Server, visit: Any) -> None:
    seen = visit(server.url)
    page = seen.page
    seen.open("What it costs")
    hint = page.get_by_text("How long does it take? Press Measure.")
    size = page.get_by_role("spinbutton", name="Size (H = W)")
    size.fill("7")
    size.press("Enter")
    page.get_by_role("button", name="Measure over widths").click()
    axis = page.locator("svg text", has_text="channels in = channels out")
    expect(axis).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="counted")).to_contain_text("0.115")  # of the last width
    expect(page.locator(".generating")).to_have_count(0)
    size.fill("14")
    size.press("Enter")
    expect(page.get_by_text("1 / 128 + 1 / 9 = 0.119")).to_be_visible()
    expect(hint).to_be_visible()
    expect(axis).to_have_count(0)
    assert seen.complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(server: Server, visit: Any, theme: str) -> None:
    seen = visit(server.url, width=390, theme=theme)
    assert seen.overflow() <= 0
    for name in TABS:
        seen.open(name)
        assert seen.overflow() <= 0, name
    seen.open("Twins")
    seen.page.get_by_role("button", name="Show the picture above to all three").click()
    seen.page.get_by_text("cifar10_attention").first.wait_for()
    assert seen.overflow() <= 0
