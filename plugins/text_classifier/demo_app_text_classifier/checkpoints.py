"""The checkpoints: embedded ones, trained from scratch by `train.py`, and published ones, pinned to a Hub commit.

The README.md in each embedded folder is its model card.
"""

from __future__ import annotations

from pathlib import Path

from demo_app import Checkpoint

WEIGHTS = Path(__file__).parent / "weights"
FILES = ("config.json", "model.safetensors", "tokenizer.json")


def _embedded(name: str, title: str) -> Checkpoint:
    return Checkpoint(name=name, title=title, folder=WEIGHTS / name, files=FILES, license="apache-2.0")


CHECKPOINTS = (
    _embedded("sst2", "Film reviews, English: sentiment"),
    _embedded("emotion", "Tweets, English: six emotions"),
    _embedded("zh_reviews", "Shop reviews, Chinese: sentiment"),
    Checkpoint(
        name="distilbert_sst2",
        title="DistilBERT, English: sentiment",
        repo_id="distilbert/distilbert-base-uncased-finetuned-sst-2-english",
        revision="714eb0fa89d2f80546fda750413ed43d93601a13",
        files=("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"),  # no tokenizer.json there
        size=268_064_743,
        sha256={
            "config.json": "582122c8f414793d131e10022ce9ba04e3811a9da6389137ee2f18665b4f4d15",
            "model.safetensors": "7c3919835e442510166d267fe7cbe847e0c51cd26d9ba07b89a57b952b49b8aa",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
        license="apache-2.0",
    ),
    Checkpoint(
        name="distilbert_multilingual",
        title="DistilBERT, twelve languages: sentiment",
        repo_id="lxyuan/distilbert-base-multilingual-cased-sentiments-student",
        revision="cf991100d706c13c0a080c097134c05b7f436c45",
        files=FILES,
        size=544_200_000,
        license="apache-2.0",
    ),
    Checkpoint(
        name="distilbert_news",
        title="DistilBERT, English: news topics",
        repo_id="wesleyacheng/news-topic-classification-with-bert",
        revision="2c059f47e078d2b7d9d5f1e76e906c926c23bc17",
        files=FILES,
        size=268_500_000,
        license="apache-2.0",
    ),
)
