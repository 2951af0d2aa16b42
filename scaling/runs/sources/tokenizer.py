"""A tokenizer of Hugging Face from its JSON file; nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, MissingExtraError, clip

ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]", "<|im_end|>")
PADS = ("<pad>", "[PAD]", "<|pad|>", *ENDS)


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer, and which of its tokens ends a document.

    Attributes
    ----------
    path : Path
    vocabulary : int
        One more than the largest id, added tokens included.
    end, pad : int or None
        Ids of the token after a document and of the one that fills a sequence up; the first known
        name that the tokenizer has.
    own : object
    """

    path: Path
    vocabulary: int
    end: int | None
    pad: int | None
    own: Any

    @classmethod
    def read(cls, path: Path) -> Tokenizer:
        """Read a ``tokenizer.json``.

        Raises
        ------
        MissingExtraError
            SC001 without the extra ``hf``.
        ConfigError
            SC330 for a file that is not there or is no tokenizer.
        """
        try:
            import tokenizers
        except ModuleNotFoundError:
            raise MissingExtraError.of("tokenizers", "hf", "tokenise text") from None
        if not path.is_file():
            expected = "a tokenizer.json beside the data"
            raise ConfigError(Fault("SC330", str(path), "is not there", expected))
        try:
            own = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the library raises bare exceptions
            found = f"is no tokenizer: {clip(str(error), 80)}"
            raise ConfigError(Fault("SC330", str(path), found, "a tokenizer.json")) from None
        own.no_truncation()
        own.no_padding()
        size = 1 + max(own.get_vocab(with_added_tokens=True).values(), default=-1)
        end, pad = (
            next((i for i in map(own.token_to_id, names) if i is not None), None)
            for names in (ENDS, PADS)
        )
        return cls(path, size, end, pad, own)

    def ids(self, texts: Sequence[tuple[str, bytes]]) -> list[list[int]]:
        """Return the ids of texts with their names, without special tokens.

        Raises
        ------
        ConfigError
            SC330 with the name of a text that is not UTF-8, and where it is not.
        """
        plain = []
        for name, text in texts:
            try:
                plain.append(text.decode("utf-8"))
            except UnicodeDecodeError as error:
                found = f"byte {error.start} is {text[error.start]:#04x}: not UTF-8"
                mend = "convert it with iconv, or train on bytes without a tokenizer"
                expected = "UTF-8, as the tokenizer needs"
                raise ConfigError(Fault("SC330", name, found, expected, mend)) from None
        found = self.own.encode_batch(plain, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def encoded(self, texts: Sequence[tuple[str, bytes]]) -> NDArray[Any]:
        """Return the ids of texts one after the other, each with its end, shape (tokens,)."""
        kind = np.uint16 if self.vocabulary <= 2**16 else np.uint32
        ends = [] if self.end is None else [self.end]
        parts = [np.array(ids + ends, dtype=kind) for ids in self.ids(texts)]
        return np.concatenate(parts)
