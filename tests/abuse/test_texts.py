"""Texts that cost the most each action can be made to do: an answer or a refusal, within a few CPU seconds.

CPU time of this process, which is also the server's, since a busy machine stretches any other clock. Where the bounds
are broken, the same calls take from twenty seconds to ten minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from plugins_on_disk import ROOT

from demo_app.serving import client
from demo_app.testing import serve

MOST = 20_000  # characters, the default of `max_text`
CPU = 12.0  # seconds
WRITING = (0.8, 0.95, 0, 0, 1, 4, 1)  # temperature, top_p, top_k, min_p, repetition_penalty, max_tokens, seed
LONG = {
    "one letter": "a" * MOST,
    "one word": "a " * (MOST // 2),
    "emoji": "😀" * MOST,
}


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with serve(plugins_dir=ROOT / "plugins", strict=True) as server:
        yield server


def cost(page: Any, action: str, *data: Any) -> tuple[float, str]:
    """CPU seconds of a call, and what it was answered, as text."""
    before = time.process_time()
    outcome, answer = client.call(page.url, action, *data, seconds=300)
    return time.process_time() - before, f"{outcome}: {answer}"


@pytest.mark.parametrize("kind", LONG)
def test_the_longest_texts_cost_a_few_seconds(page: Any, kind: str) -> None:
    text = LONG[kind]
    for action, *data in (
        ("text_classifier_classify", text, "sst2", "gradient", "average", "average"),
        ("text_classifier_compare", text, text, "zh_reviews"),
        ("translator_translate", text, "en_de", 8, 1.0),
        ("translator_force", text, text, "en_de"),
        ("decoder_generator_generate", text, "shakespeare", "five", *WRITING, ""),
    ):
        seconds, answer = cost(page, action, *data)
        assert seconds < CPU, action
        assert "Something went wrong" not in answer, action


@pytest.mark.parametrize(
    ("action", "data", "said"),
    [
        ("translator_translate", ("a. " * 6600, "en_de", 8, 1.0), "6600 sentences and the limit is 100"),
        ("translator_translate", (("a dog " * 60 + ". ") * 50, "en_de", 8, 1.0), "tokens and the limit is 2,000"),
        ("image_text_fusion_captions", (None, "a cat\n" * 3000), "3,000 captions and the limit is 50"),
        ("decoder_generator_generate", ("To be", "shakespeare", "five", *WRITING, "a\n" * 3000), "16 lines of 200"),
        ("separable_conv_measure", (7, 512, 512, 112), "G multiply-adds"),
    ],
)
def test_what_would_take_minutes_is_refused_at_once(page: Any, action: str, data: tuple[Any, ...], said: str) -> None:
    seconds, answer = cost(page, action, *data)
    assert said in answer
    assert seconds < CPU
