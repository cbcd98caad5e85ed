"""OPUS-MT as published: the same logits, the same ids and the same tokens as in transformers, on random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sentencepiece
import torch
from demo_app_translator.search import Beam, search
from demo_app_translator.translator import Translator
from transformers import MarianConfig, MarianMTModel, MarianTokenizer

from demo_app import DemoError

# As published in the two repositories; a test may choose smaller sizes
CONFIG = {
    "activation_function": "swish",
    "add_final_layer_norm": False,
    "architectures": ["MarianMTModel"],
    "bad_words_ids": [[65000]],
    "bos_token_id": 0,
    "d_model": 512,
    "decoder_attention_heads": 8,
    "decoder_ffn_dim": 2048,
    "decoder_layers": 6,
    "decoder_start_token_id": 65000,
    "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "encoder_layers": 6,
    "eos_token_id": 0,
    "forced_eos_token_id": 0,
    "is_encoder_decoder": True,
    "max_length": 512,
    "max_position_embeddings": 512,
    "model_type": "marian",
    "normalize_before": False,
    "normalize_embedding": False,
    "num_beams": 6,
    "pad_token_id": 65000,
    "scale_embedding": True,
    "static_position_embeddings": True,
    "vocab_size": 65001,
}
ENGLISH = [
    f"{who} {does} {what} {where}."
    for who in ("The dog", "A small cat", "My friend", "Nobody", "She")
    for does in ("sees", "wants", "does not like", "brings", "remembers")
    for what in ("the river", "an old book", "that answer", "rain", "tea")
    for where in ("today", "near the station", "in winter", "again", "without a word")
]
CHINESE = [
    f"{who}{when}{does}{what}。"
    for who in ("小狗", "我的朋友", "没有人", "她", "老师")
    for when in ("今天", "在车站", "冬天", "又", "")
    for does in ("看见", "想要", "不喜欢", "带来", "记得")
    for what in ("那条河", "一本旧书", "雨", "茶", "这个答案")
]


def write_checkpoint(folder: Path, *, chinese: bool, weights: str = "safetensors", **sizes: int) -> Path:
    """A checkpoint in the published layout: real SentencePiece models, random weights with large values."""
    folder.mkdir(parents=True)
    pieces: list[str] = []
    texts = (ENGLISH, CHINESE) if chinese else (CHINESE, ENGLISH)
    for side, sentences in zip(("source", "target"), texts, strict=True):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_prefix=str(folder / side),
            vocab_size=120,
            hard_vocab_limit=False,
            character_coverage=1.0,
            minloglevel=2,
        )
        (folder / f"{side}.model").rename(folder / f"{side}.spm")
        (folder / f"{side}.vocab").unlink()
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
        pieces += [processor.id_to_piece(number) for number in range(processor.get_piece_size())]
    codes = [">>cmn_Hans<<", ">>cmn_Hant<<"] if chinese else []
    kept = [p for p in dict.fromkeys([*codes, *pieces]) if p not in ("<unk>", "<s>", "</s>")]
    numbers = {piece: number for number, piece in enumerate(["</s>", "<unk>", *kept])}
    config = {**CONFIG, **sizes}
    pad = config["vocab_size"] - 1
    config |= {"pad_token_id": pad, "decoder_start_token_id": pad, "bad_words_ids": [[pad]]}
    (folder / "vocab.json").write_text(json.dumps(numbers | {"<pad>": pad}, ensure_ascii=False), "utf-8")
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    torch.manual_seed(7)
    network = MarianMTModel(MarianConfig(**config))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "embed_positions" not in name:
                parameter.normal_(
                    1.0 if "norm.weight" in name else 0.0, 2 * config["d_model"] ** -0.5 if "shared" in name else 0.08
                )
        network.final_logits_bias.normal_(0.0, 0.3)
    if sizes:
        _teach(network, folder, texts)
    network.save_pretrained(folder / "saved")
    tensors = folder / "saved" / "model.safetensors"
    if weights == "bin":
        state = {k: v for k, v in network.state_dict().items() if not k.startswith("lm_head")}
        torch.save(state, folder / "pytorch_model.bin")
        tensors.unlink()
    else:
        tensors.rename(folder / "model.safetensors")
    return folder


def _teach(network: MarianMTModel, folder: Path, texts: tuple[list[str], list[str]]) -> None:
    """Train a few steps, so that translations differ between sentences and have different lengths."""
    theirs = MarianTokenizer(
        source_spm=str(folder / "source.spm"),
        target_spm=str(folder / "target.spm"),
        vocab=str(folder / "vocab.json"),
        separate_vocabs=False,
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    network.train()
    for step in range(120):
        rows = [(step * 16 + n) % min(map(len, texts)) for n in range(16)]
        batch = theirs([texts[0][n] for n in rows], padding=True, return_tensors="pt")
        labels = theirs(text_target=[texts[1][n] for n in rows], padding=True, return_tensors="pt").input_ids
        labels[labels == theirs.pad_token_id] = -100
        optimizer.zero_grad()
        network(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss.backward()
        optimizer.step()
    network.eval()


def reference(folder: Path) -> MarianMTModel:
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    network = MarianMTModel(MarianConfig(**config)).eval()
    missing, unexpected = network.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    assert not unexpected
    assert all("embed" in name or "lm_head" in name for name in missing), missing
    network.tie_weights()
    return network


SMALL = {"vocab_size": 400, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4}
SMALL |= {"decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96}
SENTENCES = [
    "The dog sees rain.",
    "A small cat does not like that answer without a word.",
    "Nobody remembers tea.",
    "My friend brings an old book near the station.",
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("opus") / "small", chinese=True, **SMALL)


def test_tokens_are_those_of_transformers(small: Path) -> None:
    translator = Translator.load(small, "cpu")
    theirs = MarianTokenizer(
        source_spm=str(small / "source.spm"),
        target_spm=str(small / "target.spm"),
        vocab=str(small / "vocab.json"),
        separate_vocabs=False,
    )
    for text in [*SENTENCES, ">>cmn_Hans<< The dog sees tea.", "An unknown wörd"]:
        ids, _ = translator.encode([text])
        assert ids[0].tolist() == theirs(text).input_ids
    ids = theirs(text_target="小狗今天看见一本旧书。").input_ids
    assert translator.text(ids) == "小狗今天看见一本旧书。"


def test_logits_are_those_of_transformers_in_padded_batches_and_step_by_step(small: Path) -> None:
    _compare_logits(small)


def _compare_logits(folder: Path) -> None:
    translator, theirs = Translator.load(folder, "cpu"), reference(folder)
    ids, mask = translator.encode(SENTENCES)
    assert not mask.all()
    start = translator.config.start_id
    target = torch.tensor([[start, *row] for row in ((5, 9, 17, 3), (8, 8, 2, 30), (40, 1, 2, 3), (7, 6, 5, 4))])
    with torch.no_grad():
        ours = translator.network(ids, mask, target, trace=True)
        expected = theirs(
            input_ids=ids, attention_mask=mask.long(), decoder_input_ids=target, output_attentions=False
        ).logits
        source = translator.network.encode(ids, mask)
        cache = translator.network.new_cache(4, 5)
        steps = [translator.network.decode(target[:, t : t + 1], source, cache).logits for t in range(5)]
    torch.testing.assert_close(ours.logits, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat(steps, dim=1), expected, atol=1e-4, rtol=0)
    assert ours.trace is not None
    for weights in (*ours.trace.encoder, *ours.trace.cross, *ours.trace.decoder):
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))


@pytest.mark.parametrize("beams", [1, 2, 4, 6])
@pytest.mark.parametrize("length_penalty", [1.0, 0.6, 1.4])
def test_greedy_and_beam_ids_are_those_of_transformers(small: Path, beams: int, length_penalty: float) -> None:
    lengths = _compare_ids(small, SENTENCES, beams, length_penalty, 24)
    assert len(set(lengths)) > 1, "all translations are equally long: this shows little"
    assert min(lengths) < 24, "nothing ended by itself"


def _compare_ids(folder: Path, texts: list[str], beams: int, length_penalty: float, tokens: int) -> list[int]:
    translator, theirs = Translator.load(folder, "cpu"), reference(folder)
    ids, mask = translator.encode(texts)
    expected = theirs.generate(
        input_ids=ids,
        attention_mask=mask.long(),
        num_beams=beams,
        length_penalty=length_penalty,
        max_new_tokens=tokens,
        max_length=None,
        renormalize_logits=True,
        bad_words_ids=[[translator.config.pad_id]],
        forced_eos_token_id=translator.config.end_id,
        do_sample=False,
    )
    settings = Beam(beams=beams, length_penalty=length_penalty, max_tokens=tokens)
    *_, last = search(translator.network, translator.read(texts), len(texts), settings)
    pad = translator.config.pad_id
    found = [list(best.ids) for best in last.best]
    assert found == [[token for token in row[1:].tolist() if token != pad] for row in expected]
    return [len(row) for row in found]


def test_a_batch_gives_what_each_sentence_gives_alone(small: Path) -> None:
    translator = Translator.load(small, "cpu")
    settings = Beam(beams=3, max_tokens=20)
    together = translator.translate(SENTENCES, settings)
    assert together == [translator.translate([text], settings)[0] for text in SENTENCES]


def test_the_pickled_layout_of_the_hub_gives_the_same(small: Path, tmp_path: Path) -> None:
    pickled = write_checkpoint(tmp_path / "bin", chinese=True, weights="bin", **SMALL)
    settings = Beam(beams=2, max_tokens=20)
    ours = [Translator.load(folder, "cpu").translate(SENTENCES, settings) for folder in (small, pickled)]
    assert ours[0] == ours[1]


def test_the_languages_follow_from_the_codes_in_the_vocabulary(small: Path, tmp_path: Path) -> None:
    other = write_checkpoint(tmp_path / "zh_en", chinese=False, **SMALL)
    assert (Translator.load(small, "cpu").config.source, Translator.load(small, "cpu").config.target) == ("en", "zh")
    translator = Translator.load(other, "cpu")
    assert (translator.config.source, translator.config.target) == ("zh", "en")
    assert translator.translate(["小狗看见雨。"], Beam(beams=2, max_tokens=12))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model_type", "t5", "its model_type is t5"),
        ("activation_function", "gelu", "not swish"),
        ("normalize_before", True, "normalize_before"),
        ("scale_embedding", False, "scale_embedding"),
    ],
)
def test_another_architecture_is_refused_with_a_sentence(
    small: Path, tmp_path: Path, field: str, value: object, said: str
) -> None:
    import shutil

    folder = tmp_path / "other"
    shutil.copytree(small, folder)
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {field: value}))
    with pytest.raises(DemoError, match=said):
        Translator.load(folder, "cpu")


@pytest.mark.parametrize("missing", ["config.json", "vocab.json", "source.spm", "model.safetensors"])
def test_a_missing_file_is_named(small: Path, tmp_path: Path, missing: str) -> None:
    import shutil

    folder = tmp_path / "cut"
    shutil.copytree(small, folder)
    (folder / missing).unlink()
    with pytest.raises(DemoError, match=missing if missing != "model.safetensors" else "pytorch_model.bin"):
        Translator.load(folder, "cpu")


@pytest.mark.slow
def test_the_published_size_gives_the_same_logits_and_ids(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "full", chinese=True)
    _compare_logits(folder)
    for beams in (1, 4):
        _compare_ids(folder, SENTENCES[:2], beams, 1.0, 10)
