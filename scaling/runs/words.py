"""Headers taken apart: words, path, and the unit that a name states."""

from __future__ import annotations

import re
from dataclasses import dataclass

PF_DAY = 8.64e19  # FLOP, 1e15 a second for a day

_MULTIPLES = {
    "k": 1e3, "thousand": 1e3, "thousands": 1e3,
    "m": 1e6, "mn": 1e6, "mio": 1e6, "million": 1e6, "millions": 1e6,
    "b": 1e9, "bn": 1e9, "billion": 1e9, "billions": 1e9,
    "t": 1e12, "tn": 1e12, "trillion": 1e12, "trillions": 1e12,
}  # fmt: skip
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21,
             "y": 1e24}  # fmt: skip
_COMPUTE = re.compile(r"(|[kmgtpezy]|kilo|mega|giga|tera|peta|exa|zetta|yotta)(flops?|flos|macs?)")
_COUNTED = re.compile(r"([kmbgt])(params?|parameters|tokens?|samples)")
_POWER = re.compile(r"[x×*]?\s*(?:1e|10\^|10\*\*)\+?(\d{1,2})", re.IGNORECASE)
_SCALE_OF = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
_APPLIED = re.compile(r"\s*(log(10|2|1p)?|ln|exp|sqrt|abs)\s*\(", re.IGNORECASE)
_DAYS = re.compile(r"pf(lops?)?[ /_-]*(s[ /_-]*)?days?|peta ?flops?[ /_-]*(s[ /_-]*)?days?", re.I)

RATES = frozenset("s sec second token tokens param params parameter parameters step sample byte "
                   "day gpu example word char".split())  # fmt: skip
_QUANTITIES = frozenset("tokens samples examples images flop flops c d loss nats bits "
                        "macs gmacs gflops tflops".split())  # fmt: skip
MOST = 200  # characters of a name; longer ones are texts


@dataclass(frozen=True)
class Words:
    """A header taken apart.

    Attributes
    ----------
    words : tuple of str
        Lower-case words of the last path segment.
    context : tuple of str
        Lower-case words of the path before it.
    multiple : float
        Unit of counts in the name, such as 1e9 for billions.
    compute : float or None
        FLOP that one unit of compute in the name is worth.
    macs : bool
        Whether that unit counts multiply-accumulates, two FLOP each.
    symbol : str
        The whole header where it is one letter.
    """

    words: tuple[str, ...]
    context: tuple[str, ...]
    multiple: float
    compute: float | None
    macs: bool
    symbol: str

    def has(self, *names: str) -> bool:
        """Whether any of the words is there."""
        return any(name in self.words for name in names)

    def only(self, allowed: frozenset[str]) -> bool:
        """Whether nothing but `allowed` words is there."""
        return all(word in allowed for word in self.words)


def split_words(text: str) -> list[str]:
    """Return the lower-case words of a name: punctuation and camelCase divide."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    text = re.sub(r"(?<=[Ll]oss)(?=\d)", " ", text)
    text = re.sub(r"(?<=[A-Za-z])(?<!\de)(?=\d{2,}[a-z]?\b)", " ", text)
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", text) if word]


def take_apart(header: str) -> Words:
    """Divide a header into words, path and unit."""
    text = header.strip().lstrip("#").strip()
    if len(text) > MOST or _APPLIED.match(text):
        return Words((), (), 1.0, None, False, "")
    inner, text = _bracket(text)
    symbol = text if len(text) == 1 else ""
    multiple, compute, macs = _unit(inner)
    context: list[str] = []
    segments = re.split(r"/|(?<=[A-Za-z_])\.(?=[A-Za-z_])", text)
    last = segments[-1].strip()
    if len(segments) > 1:
        before = split_words(segments[-2])
        if last.lower() in RATES and before and before[-1] in _QUANTITIES:
            return Words((), (), 1.0, None, False, "")
        context = [word for part in segments[:-1] for word in split_words(part)]
    if _DAYS.search(last):
        compute = compute or PF_DAY
        last = _DAYS.sub(" flop ", last)
    words = split_words(last)
    kept: list[str] = []
    for i, word in enumerate(words):
        found, counted = _COMPUTE.fullmatch(word), _COUNTED.fullmatch(word)
        if found is not None:
            compute = compute or _PREFIXES[_short(found[1])] * (
                2.0 if found[2].startswith("mac") else 1.0
            )
            macs = macs or found[2].startswith("mac")
            kept.append("flop")
        elif counted is not None:
            multiple = _SCALE_OF[counted[1]]
            kept.append(counted[2])
        elif word in _MULTIPLES and (len(word) > 2 or (i == len(words) - 1 and i > 0)):
            multiple = _MULTIPLES[word]
        elif i > 0 and _POWER.fullmatch(word):
            multiple = float(word)
        else:
            kept.append(word)
    if inner and multiple == 1.0 and compute is None:
        kept += split_words(inner)  # a remark, such as (datapoints)
    return Words(tuple(kept), tuple(context), multiple, compute, macs, symbol)


def _short(prefix: str) -> str:
    """Return the symbol of a prefix, ``p`` for peta."""
    return {"exa": "e", "peta": "p"}.get(prefix, prefix[:1])


def _bracket(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"(.*?)[\s_]*[(\[]([^()\[\]]+)[)\]]\s*", text)
    return (found[2].strip(), found[1]) if found and found[1].strip() else ("", text)


def _unit(inner: str) -> tuple[float, float | None, bool]:
    """Read a unit in brackets: a multiple of counts, or FLOP of one unit of compute."""
    if not inner:
        return 1.0, None, False
    plain = inner.lower().removeprefix("in ").strip()
    if _DAYS.fullmatch(plain):
        return 1.0, PF_DAY, False
    power = _POWER.match(plain)
    rest = plain[power.end() :].strip() if power else plain
    scale = float(f"1e{int(power[1])}") if power else 1.0
    found = _COMPUTE.fullmatch(rest.replace(" ", ""))
    if found is not None:
        macs = found[2].startswith("mac")
        return 1.0, scale * _PREFIXES[_short(found[1])] * (2.0 if macs else 1.0), macs
    first = rest.split()[0] if rest.split() else ""
    return scale * _MULTIPLES.get(first, 1.0), None, False
