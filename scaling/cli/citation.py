"""``scaling --citation``: what CITATION.cff says, as BibTeX and as a sentence."""

from __future__ import annotations

import re

from scaling.cli.shipped import shipped


def citation() -> str:
    """Return a sentence to cite, and the entry for a bibliography."""
    from scaling.runs.provenance import package_version

    text = shipped("CITATION.cff").read_text(encoding="utf-8")
    version = package_version()
    version = _value(text, "version") if version == "unknown" else version
    title, licence = _value(text, "title"), _value(text, "license")
    authors = _authors(text)
    fields = {
        "title": f"{{{title}}}",
        "author": " and ".join(f"{{{name}}}" for name in authors),
        "version": version,
        "license": licence,
    }
    known = {
        "year": _value(text, "date-released")[:4],
        "url": _value(text, "url", "repository-code"),
    }
    fields |= {name: value for name, value in known.items() if value}
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    year = f" ({known['year']})" if known["year"] else ""
    link = f" {known['url']}" if known["url"] else ""
    sentence = f"{', '.join(authors)}{year}. {title}. Version {version}. {licence}.{link}"
    return "\n".join([sentence, "", "@software{scaling-study,", *lines, "}"])


def _value(text: str, *keys: str) -> str:
    """Value of the first of some keys that a line of the file begins with; else empty."""
    for key in keys:
        found = re.search(rf"^{key}: *(.+)$", text, re.M)
        if found is not None:
            return found[1].strip().strip("\"'")
    return ""


def _authors(text: str) -> list[str]:
    """Names of the authors: of a group, or of a person by given and family name."""
    block = re.search(r"^authors:\n((?:[ -].*\n?)+)", text, re.M)
    names = []
    for part in re.split(r"^ *- ", block[1] if block else "", flags=re.M)[1:]:
        plain = re.sub(r"^ +", "", part, flags=re.M)
        person = [_value(plain, "given-names"), _value(plain, "family-names")]
        names.append(_value(plain, "name") or " ".join(word for word in person if word))
    return names
