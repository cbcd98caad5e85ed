"""Texts as the embedded models read them: characters, and poems with their form; from files to ids.

A poem is `[BOS] form title [SEP] lines [EOS]`. The form is a token for five or seven characters a line, or neither, so
a prompt can choose it.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from demo_app import InputError

PAD, UNKNOWN, BOS, SEP, EOS = "[PAD]", "[UNK]", "[BOS]", "[SEP]", "[EOS]"
FORMS = {5: "[FIVE]", 7: "[SEVEN]", 0: "[FREE]"}  # characters a line
SPECIAL = (PAD, UNKNOWN, BOS, SEP, EOS, *FORMS.values())
ENDS = re.compile("[，。？！；、：\\s]+")  # of a line


@dataclass(frozen=True)
class Poem:
    title: str
    lines: tuple[str, ...]  # as printed: one verse or more each, with their punctuation

    @property
    def body(self) -> str:
        return "".join(self.lines)

    @property
    def form(self) -> int:
        return form_of(self.body)


def form_of(body: str) -> int:
    """5 or 7 if that is the length of every verse and the number of verses is even, else 0."""
    verses = [verse for verse in ENDS.split(body) if verse]
    lengths = {len(verse) for verse in verses}
    regular = len(lengths) == 1 and len(verses) % 2 == 0
    return lengths.pop() if regular and lengths <= {5, 7} else 0


def read_text(path: Path) -> str:
    """Read a UTF-8 text, gzipped or not. Raises `InputError` if it is missing, empty or not UTF-8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            "{path} cannot be read ({reason}); check the path.", path=str(path), reason=error.strerror
        ) from error
    try:
        text = (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError("{name} is no UTF-8 text, nor one that is gzipped; convert it.", name=path.name) from error
    if not text:
        raise InputError("{name} is empty; give a file with text.", name=path.name)
    return text


def is_poems(text: str) -> bool:
    """Whether the text is JSON lines of poems."""
    return text.startswith("{") and '"lines"' in text.partition("\n")[0]


def read_poems(text: str) -> list[Poem]:
    """Read one JSON object a line, with `title` and `lines`. Raises `InputError`, which names the first bad line."""
    poems = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            record = json.loads(line)
            poems.append(Poem(str(record["title"]), tuple(map(str, record["lines"]))))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                "line {number} is no poem with title and lines ({error}); correct or remove it.",
                number=number,
                error=str(error),
            ) from error
    return poems


def character_tokenizer(texts: Iterable[str], *, at_least: int = 1, special: Sequence[str] = (UNKNOWN,)) -> Tokenizer:
    """A token for each character that occurs `at_least` times, in the order of code points; all others are `[UNK]`."""
    counts = Counter(character for text in texts for character in text)
    known = sorted(character for character, count in counts.items() if count >= at_least)
    vocabulary = {token: i for i, token in enumerate((*special, *known))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def prompt(tokenizer: Tokenizer, title: str, form: int, start: str = "") -> list[int]:
    """The ids with which a poem of that title and form begins, including its first verses in `start`."""
    head = [tokenizer.token_to_id(BOS), tokenizer.token_to_id(FORMS[form])]
    ids = head + tokenizer.encode(title, add_special_tokens=False).ids + [tokenizer.token_to_id(SEP)]
    return ids + tokenizer.encode(start, add_special_tokens=False).ids


def poem_ids(tokenizer: Tokenizer, poem: Poem, *, title: bool = True) -> list[int]:
    """The ids of a whole poem, with or without its title."""
    body = prompt(tokenizer, poem.title if title else "", poem.form, poem.body)
    return [*body, tokenizer.token_to_id(EOS)]
