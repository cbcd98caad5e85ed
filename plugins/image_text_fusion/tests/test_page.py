"""The tab in a real browser, as a visitor meets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from demo_app_image_text_fusion.example import example
from demo_app_image_text_fusion.explain import most_visual_word
from PIL import Image
from playwright.sync_api import expect

from demo_app.serving.server import Server
from demo_app.testing import DemoHost

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[3]
TABS = ("Blind and deaf", "Draw your own", "Tags", "Captions", "Video", "Many questions", "How it works")


@pytest.fixture(scope="module")
def server(demo_host: DemoHost) -> Server:
    return demo_host.server


def test_a_word_lights_patches_and_a_patch_lights_words(server: Server, visit: Any) -> None:
    seen = visit(server.url)
    page = seen.page
    chosen = most_visual_word(example())
    expect(page.locator(f'[data-tile="{chosen}"]')).to_have_attribute("aria-pressed", "true")
    page.locator('[data-tile="1"]').click()
    expect(page.get_by_text(f"“{example().tokens[1]}” looks at these patches")).to_be_visible()
    looked = page.locator(".block").filter(has_text="Click a patch").last
    looked.locator("img").first.click(position={"x": 60, "y": 60})
    expect(page.get_by_text("The framed patch (row ")).to_be_visible()
    assert seen.complaints == []
    assert seen.strangers(server.url) == []


def test_a_question_is_answered_with_enter_and_again_without_the_picture(server: Server, visit: Any) -> None:
    seen = visit(server.url)
    page = seen.page
    question = page.get_by_label("Question").first
    question.fill("is there a <b>green</b> ${square}?")
    question.press("Enter")
    expect(page.locator("[data-tile]", has_text="green")).to_be_visible()
    page.get_by_role("button", name="Ask again without the picture, and without the question").click()
    expect(page.get_by_text("blind (no picture)").first).to_be_visible()
    assert seen.complaints == []


NOTE = "The scene's own answer:"


def test_a_scenes_note_goes_when_something_else_is_asked(server: Server, visit: Any) -> None:
    seen = visit(server.url)
    page = seen.page
    page.get_by_role("button", name="how many of the same shape").click()
    expect(page.get_by_text(NOTE)).to_be_visible()
    expect(page.get_by_text("Counting: nothing is named")).to_be_visible()
    question = page.get_by_label("Question").first
    question.fill("")
    question.press("Enter")
    expect(page.get_by_text("The question is empty")).to_be_visible()
    expect(page.get_by_text(NOTE)).to_be_visible()  # the answer on the page is still the scene's
    question.fill("is there a green square?")
    question.press("Enter")
    expect(page.locator("[data-tile]", has_text="green")).to_be_visible()
    expect(page.get_by_text(NOTE)).to_have_count(0)
    expect(page.get_by_text("Counting: nothing is named")).to_have_count(0)


def test_what_was_said_about_a_picture_goes_with_it(server: Server, visit: Any, tmp_path: Path) -> None:
    seen = visit(server.url)
    page = seen.page

    def compare_and_tag() -> None:
        seen.open("Blind and deaf")
        page.get_by_role("button", name="Ask again without the picture, and without the question").click()
        expect(page.get_by_text("blind (no picture)").first).to_be_visible()
        seen.open("Tags")
        page.get_by_role("button", name="Tag the picture above").click()
        expect(page.get_by_role("rowheader", name="triangles")).to_be_visible()

    def expect_hints() -> None:
        expect(page.get_by_text("No tags yet.")).to_be_visible()
        seen.open("Blind and deaf")
        expect(page.get_by_text("What is left of the answer when one of the two is missing?")).to_be_visible()

    compare_and_tag()
    page.get_by_role("button", name="New scene").click()
    expect(page.get_by_text(NOTE)).to_be_visible()
    expect_hints()

    compare_and_tag()
    Image.new("RGB", (64, 64), "white").save(tmp_path / "own.png")
    page.get_by_role("button", name="Remove Image").click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "own.png")
    expect_hints()
    expect(page.get_by_text(NOTE)).to_have_count(0)


def test_a_drawing_is_asked_about(server: Server, visit: Any) -> None:
    seen = visit(server.url)
    page = seen.page
    seen.open("Draw your own")
    page.get_by_role("button", name="Brush").click()
    canvas = page.locator("canvas:visible").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)  # the pad sets itself up
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 40, box["y"] + box["height"] / 2 + 30, steps=8)
    page.mouse.up()
    page.get_by_role("button", name="Ask about my drawing").click()
    panel = page.get_by_role("tabpanel").filter(has=page.get_by_role("button", name="Ask about my drawing")).last
    expect(panel.get_by_test_id("label-output-value")).to_be_visible()
    assert seen.complaints == []


def test_a_clip_is_answered_over_time(server: Server, visit: Any) -> None:
    seen = visit(server.url)
    page = seen.page
    seen.open("Video")
    page.get_by_role("button", name="Ask about the clip").click()
    expect(page.get_by_text("The answer over time")).to_be_visible()
    assert seen.strangers(server.url) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(server: Server, visit: Any, theme: str) -> None:
    seen = visit(server.url, width=390, theme=theme)
    assert seen.overflow() <= 0
    for name in TABS:
        seen.open(name)
        assert seen.overflow() <= 0, name
