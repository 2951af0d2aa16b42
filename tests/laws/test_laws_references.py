"""Every citation of a law, a published value and a method has one entry, and each is BibTeX."""

import re

import pytest

from scaling.laws import LAWS, Law
from scaling.laws.catalogue import CHINCHILLA
from scaling.laws.literature import LITERATURE
from scaling.laws.references import (
    METHODS,
    TOOLKIT,
    bibtex,
    cited,
    of_law,
    of_methods,
    of_reference,
    works,
)
from scaling.laws.works import WORKS

VENUE = {"article": "journal", "inproceedings": "booktitle", "book": "publisher"}
every_work = pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
every_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


def parse(entry):
    """Fields of one entry; refuses braces that do not balance."""
    head = re.match(r"@(\w+)\{([\w-]+),\n", entry)
    fields, rest = {}, entry[head.end() :]
    while not rest.startswith("}"):
        name = re.match(r"\s*(\w+) = \{", rest)
        depth, at = 1, name.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(rest[at], 0)
            at += 1
        assert name[1] not in fields
        fields[name[1]] = rest[name.end() : at - 1]
        assert rest[at : at + 2] == ",\n"
        rest = rest[at + 2 :]
    assert rest == "}"
    return head[1], head[2], fields


@every_work
def test_entries_parse_with_what_their_kind_needs(work):
    kind, key, fields = parse(work.bibtex)
    assert (kind, key) == (work.kind, work.key)
    assert {"author", "title", "year"} <= set(fields)
    assert re.fullmatch(r"(1[89]|20)\d\d", fields["year"])
    assert kind == "misc" or fields[VENUE[kind]]
    assert all(value.strip() == value != "" for value in fields.values())
    assert bool(fields.get("eprint")) == (fields.get("archiveprefix") == "arXiv")
    if "eprint" in fields:
        stamp = re.fullmatch(r"(\d\d)(\d\d)\.\d{4,5}", fields["eprint"])
        assert int("20" + stamp[1]) in (work.year, work.year - 1)  # printed the year after at most
        assert 1 <= int(stamp[2]) <= 12
    if kind == "article":
        assert re.fullmatch(r"\d+--\d+", fields["pages"])


def test_no_work_has_two_entries():
    for name in ("title", "eprint"):
        values = [parse(work.bibtex)[2].get(name) for work in WORKS.values()]
        known = [value for value in values if value]
        assert len(known) == len(set(known))


@every_work
def test_a_citation_finds_its_own_work_alone(work):
    mark = f", {work.mark}" if work.mark else ""
    assert cited(f"{work.short}{mark}") == (work.key,)
    assert cited(f"{work.names} {work.year}{mark}") == (work.key,)
    assert cited(f"{work.names} ({work.year + 40})") == ()


@every_law
def test_every_law_cites_works_of_the_years_that_it_names(law):
    keys = of_law(law)
    assert keys
    years = set(re.findall(r"\((\d{4})\)", law.reference))
    assert years == {str(WORKS[key].year) for key in cited(law.reference)} != set()
    for item in law.published:
        assert len(cited(item.source)) == 1


def test_laws_of_users_cite_what_they_name():
    own = Law("own", "E", CHINCHILLA.parameters[:1], (), "as in Hoffmann et al. (2022) and mine")
    assert of_law(own) == ("hoffmann2022",)
    assert of_law(Law("own", "E", CHINCHILLA.parameters[:1], (), "mine")) == ()


@pytest.mark.parametrize("item", LITERATURE, ids=[i.source for i in LITERATURE])
def test_published_values_cite_one_work(item):
    assert len(of_reference(item)) >= 1


@pytest.mark.parametrize("name", METHODS)
def test_methods_cite_works_that_exist(name):
    assert METHODS[name]
    assert set(METHODS[name]) <= set(WORKS)


def test_works_of_one_author_are_told_apart():
    texts = [
        "Li et al. (2025), Farseer: A Refined Scaling Law",
        "Li et al. (2025), Predictable Scale: Part I, Optimal Hyperparameter Scaling Law",
        "Li et al. (2025), (Mis)Fitting: A Survey of Scaling Laws",
    ]
    assert [cited(text) for text in texts] == [("li2025farseer",), ("li2025step",),
                                               ("li2025survey",)]  # fmt: skip
    assert cited("Li et al. (2025)") == ()


def test_a_list_has_each_work_once_in_order():
    keys = [*of_methods(["isoflop", "surface", "checklist", "unheard of"]), "hoffmann2022", TOOLKIT]
    listed = works(keys)
    assert [w.key for w in listed] == ["besiroglu2024", "hoffmann2022", "li2025survey", TOOLKIT]
    entries = bibtex(keys)
    assert entries.count("@") == 4
    assert "author = {Hoffmann, Jordan and" in entries
    assert listed[1].text == (
        "Hoffmann et al. (2022), Training Compute-Optimal Large Language Models, Advances in "
        "Neural Information Processing Systems, arXiv:2203.15556."
    )


def test_every_work_is_cited_by_something():
    used = {key for law in LAWS.values() for key in of_law(law)}
    used |= {key for keys in METHODS.values() for key in keys}
    used |= {key for item in LITERATURE for key in of_reference(item)}
    known = {"cherti2023", "hutter2021"}  # designs and sources of truth
    assert set(WORKS) - used <= known | {"luo2025"}  # a law made for given schedules
