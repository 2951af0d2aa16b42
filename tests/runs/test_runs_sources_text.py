"""Text and tokens: every format read as it is written, every fault found before training."""

import json
from itertools import chain, pairwise

import numpy as np
import pytest

from scaling.errors import ConfigError
from scaling.runs.manifest import arrays, load, resolve
from scaling.runs.sources.shards import Joined, Shard, check_vocabulary, digest_of, read_shard
from scaling.runs.sources.stdlib import _stdlib_files

TOKENS = np.arange(1000) % 300


def write(path, tokens, kind):
    """Write a shard in one of the formats."""
    tokens = np.asarray(tokens)
    if kind == "nanogpt":
        path.write_bytes(tokens.astype("<u2").tobytes())
    elif kind == "llm.c":
        head = np.zeros(256, dtype="<i4")
        head[:3] = 20240520, 1, len(tokens)
        path.write_bytes(head.tobytes() + tokens.astype("<u2").tobytes())
    elif kind == "llama":
        head = np.zeros(256, dtype="<i4")
        head[:3] = 20240801, 7, len(tokens)
        path.write_bytes(head.tobytes() + tokens.astype("<u4").tobytes())
    elif kind == "olmo":
        path.write_bytes(tokens.astype("<u4").tobytes())
    else:
        np.save(path, tokens.astype(np.int32))
    return path


def shards(folder, kind="nanogpt", suffix=".bin", validation=range(900, 1200)):
    write(folder / f"train_0{suffix}", TOKENS[:600], kind)
    write(folder / f"train_1{suffix}", TOKENS[600:], kind)
    write(folder / f"val{suffix}", np.array(validation) % 299, kind)
    return {"path": str(folder), "vocabulary": 300}


def refused(source, options):
    with pytest.raises(ConfigError) as caught:
        resolve(source, options)
    return caught.value.faults[0]


@pytest.mark.parametrize(
    ("kind", "suffix", "name", "dtype"),
    [
        ("nanogpt", ".bin", "nanogpt", "uint16"),
        ("llm.c", ".bin", "llm.c", "uint16"),
        ("llama", ".bin", "llm.c", "uint32"),
        ("olmo", ".npy", "olmo", "uint32"),
        ("numpy", ".npy", "numpy", "int32"),
    ],
)
def test_shards_of_every_format_are_one_stream(tmp_path, kind, suffix, name, dtype):
    manifest = resolve("tokens", shards(tmp_path, kind, suffix))
    train, validation = load(manifest.as_dict())
    assert train.dtype == dtype
    np.testing.assert_array_equal(train[:], TOKENS)
    np.testing.assert_array_equal(validation[:], np.arange(900, 1200) % 299)
    assert (manifest.train_tokens, manifest.validation_tokens) == (1000, 300)
    assert f"format {name}" in manifest.detail
    assert isinstance(read_shard(tmp_path / f"val{suffix}").tokens, np.memmap)


def test_a_joined_array_reads_like_one():
    rng = np.random.default_rng(0)
    parts = [rng.integers(100, size=n).astype(np.uint16) for n in (7, 1, 20, 3)]
    whole, joined = np.concatenate(parts), Joined(parts)
    assert (len(joined), joined.nbytes, joined.dtype) == (31, 62, np.uint16)
    for first in range(-2, 32):
        for last in (first, first + 1, first + 9, 40):
            np.testing.assert_array_equal(joined[first:last], whole[first:last])
    places = rng.integers(-31, 31, size=(4, 5))
    np.testing.assert_array_equal(joined[places], whole[places])
    np.testing.assert_array_equal(np.asarray(joined), whole)
    assert joined[8] == whole[8]
    assert joined[::3].tolist() == whole[::3].tolist()
    with pytest.raises(IndexError):
        joined[np.array([31])]


def test_the_hash_is_of_what_lies_there(tmp_path):
    options = shards(tmp_path)
    first = resolve("tokens", options)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert resolve("tokens", shards(elsewhere)).hash == first.hash
    assert "path" not in first.options
    changed = TOKENS[600:].copy()
    changed[-1] = 5
    write(tmp_path / "train_1.bin", changed, "nanogpt")
    assert resolve("tokens", options | {"overlap": 0.0}).hash != first.hash


def test_large_shards_are_hashed_by_their_ends_and_blocks_between(monkeypatch):
    monkeypatch.setattr("scaling.runs.sources.shards.WHOLE", 64)
    monkeypatch.setattr("scaling.runs.sources.shards.BLOCK", 8)
    monkeypatch.setattr("scaling.runs.sources.shards.BLOCKS", 5)
    tokens = np.arange(400, dtype=np.uint16)

    def digest(at=None):
        own = tokens.copy()
        if at is not None:
            own[at] = 999
        return digest_of([[Shard(None, "nanogpt", own)]])

    seen = [i for i in range(400) if digest(i) != digest()]
    assert len(seen) == 20
    assert seen[:4] == [0, 1, 2, 3]
    assert seen[-4:] == [396, 397, 398, 399]
    gaps = [b - a for a, b in pairwise(seen) if b - a > 1]
    assert len(gaps) == 4
    assert max(gaps) - min(gaps) <= 1


def test_ids_beyond_the_vocabulary_are_named(tmp_path):
    options = shards(tmp_path)
    wrong = TOKENS[600:].copy()
    wrong[123] = 301
    write(tmp_path / "train_1.bin", wrong, "nanogpt")
    fault = refused("tokens", options)
    assert fault.code == "SC331"
    assert fault.where.endswith("train_1.bin")
    assert fault.found == "token 123 is 301"


def test_ids_below_zero_are_beyond_the_vocabulary():
    shard = Shard("x.npy", "numpy", np.array([1, -1], dtype=np.int64))
    with pytest.raises(ConfigError, match="token 1 is -1"):
        check_vocabulary([shard], 10)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda d: (d / "val.bin").write_bytes(b"abc"), "3 bytes"),
        (lambda d: (d / "val.bin").write_bytes(b""), "is empty"),
        (lambda d: (d / "val.bin").unlink(), "holds no .bin or .npy file that matches *val*"),
        (lambda d: write(d / "train_2.npy", TOKENS, "olmo"), "uint32 (olmo)"),
        (lambda d: np.save(d / "val.npy", np.ones((2, 2))), "an array of float64 of shape (2, 2)"),
        (lambda d: (d / "val.npy").write_bytes(b"\x93NUMPY\x01"), "cannot be read: "),
    ],
)
def test_shards_that_are_none(tmp_path, spoil, found):
    options = shards(tmp_path)
    spoil(tmp_path)
    fault = refused("tokens", options)
    assert fault.code == "SC330"
    assert found in fault.found


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ((20240520, 1, 299), "its header counts 299 tokens, its size 300"),
        ((20240520, 2, 300), "version 2 of magic 20240520"),
        ((20230520, 1, 300), "a header of magic 20230520 and version 1"),
    ],
)
def test_headers_that_do_not_fit(tmp_path, head, found):
    options = shards(tmp_path, "llm.c")
    values = np.zeros(256, dtype="<i4")
    values[:3] = head
    (tmp_path / "val.bin").write_bytes(values.tobytes() + bytes(600))
    fault = refused("tokens", options)
    assert (fault.code, fault.found) == ("SC330", found)
    assert fault.where.endswith("val.bin")


def test_a_format_that_is_asked_for_is_held_to(tmp_path):
    assert refused("tokens", shards(tmp_path) | {"format": "llm.c"}).code == "SC330"
    assert resolve("tokens", shards(tmp_path) | {"format": "nanogpt"}).train_tokens == 1000
    options = shards(tmp_path, "olmo") | {"format": "olmo"}  # a .bin that is uint32
    assert resolve("tokens", options).train_tokens == 1000


def test_folders_that_are_not_there(tmp_path):
    fault = refused("tokens", {"path": str(tmp_path / "none"), "vocabulary": 300})
    assert (fault.code, fault.found) == ("SC330", "is not there")
    assert refused("text", {"path": str(tmp_path / "none")}).code == "SC330"
    assert refused("labelled", {"path": str(tmp_path)}).code == "SC330"


def test_shards_of_both_parts_are_refused(tmp_path):
    options = shards(tmp_path)
    write(tmp_path / "val.bin", TOKENS[:600], "nanogpt")
    fault = refused("tokens", options)
    assert fault.code == "SC332"
    assert "train_0.bin" in fault.found


def test_validation_documents_in_training_are_refused(tmp_path):
    options = shards(tmp_path) | {"end": 0}
    write(tmp_path / "train_0.bin", [1, 2, 3, 0, 4, 5, 0, 6], "nanogpt")
    write(tmp_path / "val.bin", [9, 9, 9, 9, 0, 4, 5, 0, 8, 8], "nanogpt")
    fault = refused("tokens", options)
    assert (fault.code, fault.found.split()[0]) == ("SC332", "25.00%")
    assert resolve("tokens", options | {"overlap": 0.25}).validation_tokens == 10


# ------------------------------------------------------------------------------------------ text


def words(seed, count=400):
    rng = np.random.default_rng(seed)
    return " ".join(f"w{i}" for i in rng.integers(5000, size=count))


def folder_of_text(folder, documents=60):
    folder.mkdir(exist_ok=True)
    for i in range(documents):
        (folder / f"{i}.txt").write_text(words(i))
    return {"path": str(folder)}


def test_text_is_split_by_document(tmp_path):
    manifest = resolve("text", folder_of_text(tmp_path / "t") | {"validation_share": 0.2})
    train, validation = (part.tobytes() for part in load(manifest.as_dict()))
    documents = [words(i).encode() for i in range(60)]
    assert all((d in train) != (d in validation) for d in documents)
    assert train.count(b"\0") + validation.count(b"\0") == 60
    assert 3 < validation.count(b"\0") < 25
    assert (manifest.vocabulary, manifest.bytes_per_token) == (256, 1.0)
    assert manifest.as_dict()["bytes_per_token"] == 1.0


def test_the_split_depends_on_no_other_document(tmp_path):
    options = folder_of_text(tmp_path / "t")
    before = set(load(resolve("text", options).as_dict())[1].tobytes().split(b"\0"))
    for i in range(30):
        (tmp_path / "t" / f"{i}.txt").unlink()
    assert set(load(resolve("text", options).as_dict())[1].tobytes().split(b"\0")) <= before


def test_one_file_is_divided_at_blank_lines_or_a_separator(tmp_path):
    path = tmp_path / "all.txt"
    path.write_text("\n\n".join(words(i, 40) for i in range(100)))
    train, validation = load(resolve("text", {"path": str(path)}).as_dict())
    assert np.count_nonzero(train == 0) + np.count_nonzero(validation == 0) == 100
    path = tmp_path / "other.txt"
    path.write_text("<end>".join(words(i, 40) for i in range(100)))
    assert refused("text", {"path": str(path)}).code == "SC330"  # one document has no two parts
    manifest = resolve("text", {"path": str(path), "separator": "<end>"})
    assert "documents" in manifest.detail


def test_equal_documents_are_never_on_both_sides(tmp_path):
    options = folder_of_text(tmp_path / "t")
    for i in range(60):
        (tmp_path / "t" / f"copy{i}.txt").write_text(words(i))
    train, validation = (part.tobytes() for part in load(resolve("text", options).as_dict()))
    assert train.count(b"\0") + validation.count(b"\0") == 60


def given_split(folder):
    for part, numbers in (("train", range(40)), ("val", range(40, 60))):
        (folder / part).mkdir(parents=True)
        for i in numbers:
            (folder / part / f"{i}.txt").write_text(words(i))
    return {"path": str(folder)}


def test_a_split_that_is_there_is_kept(tmp_path):
    manifest = resolve("text", given_split(tmp_path))
    assert "40 + 20 documents" in manifest.detail
    assert "0.00% occur in training" in manifest.detail


def test_duplicates_across_a_given_split_are_refused(tmp_path):
    options = given_split(tmp_path)
    (tmp_path / "train" / "same.txt").write_text(words(45))
    fault = refused("text", options)
    assert fault.code == "SC332"
    assert fault.found.startswith("5.0")
    assert "val/45.txt is train/same.txt" in fault.detail
    assert resolve("text", options | {"overlap": 0.06}).vocabulary == 256


def test_parts_of_documents_across_a_given_split_are_refused(tmp_path):
    options = given_split(tmp_path)
    quote = " ".join(words(45).split()[100:150])
    (tmp_path / "train" / "quotes.txt").write_text(words(99) + " " + quote)
    fault = refused("text", options)
    assert fault.code == "SC332"
    share = (50 - 12) / (20 * (400 - 12))
    assert f"{share:.2%} of its 13-grams" in fault.found
    assert f"val/45.txt has 38 of {400 - 12} 13-grams" in fault.detail
    assert "of the validation 13-grams 0.49%" in resolve("text", options | {"overlap": 0.01}).detail


def test_text_needs_both_parts(tmp_path):
    (tmp_path / "one.txt").write_text(words(1))
    assert refused("text", {"path": str(tmp_path)}).code == "SC330"
    fault = refused("text", {"path": str(tmp_path), "files": "*.md"})
    assert "holds no file that matches *.md" in fault.found


# ------------------------------------------------------------------------------- Hugging Face


def tokenizer_of(folder):
    tokenizers = pytest.importorskip("tokenizers")
    known = {"[UNK]": 0, "</s>": 1, **{f"w{i}": i + 2 for i in range(5000)}}
    own = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, unk_token="[UNK]"))
    own.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    own.save(str(folder / "tokenizer.json"))
    return {"tokenizer": "tokenizer.json"}


def test_tokenised_text(tmp_path):
    options = given_split(tmp_path) | tokenizer_of(tmp_path)
    manifest = resolve("text", options)
    train, validation = load(manifest.as_dict())
    assert (manifest.vocabulary, train.dtype, len(train)) == (5002, np.uint16, 40 * 401)
    expected = [[int(w[1:]) + 2 for w in words(i).split()] + [1] for i in range(40, 60)]
    assert validation.tolist() == list(chain.from_iterable(expected))
    size = sum(len(words(i)) for i in range(40, 60))
    assert manifest.bytes_per_token == pytest.approx(size / len(validation))


def test_text_for_a_tokenizer_is_utf8(tmp_path):
    options = given_split(tmp_path) | tokenizer_of(tmp_path)
    (tmp_path / "val" / "odd.txt").write_bytes(b"good \xff bad")
    assert resolve("text", options | {"tokenizer": ""}).vocabulary == 256
    fault = refused("text", options)
    assert (fault.code, fault.where) == ("SC330", "val/odd.txt")
    assert "byte 5 is 0xff" in fault.found


def test_tokenizers_that_are_none(tmp_path):
    options = given_split(tmp_path)
    pytest.importorskip("tokenizers")
    assert refused("text", options | {"tokenizer": "none.json"}).found == "is not there"
    (tmp_path / "t.json").write_text("{}")
    assert "is no tokenizer" in refused("text", options | {"tokenizer": "t.json"}).found


def rows(numbers):
    return {"body": [words(i) for i in numbers]}


def test_data_sets_of_hugging_face(tmp_path):
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_dict(rows(range(60)))
    one.save_to_disk(str(tmp_path / "disk"))
    one.to_parquet(str(tmp_path / "x.parquet"))
    one.to_json(str(tmp_path / "x.jsonl"))
    hashes = {
        resolve("huggingface", {"path": str(tmp_path / name), "column": "body"}).hash
        for name in ("disk", "x.parquet", "x.jsonl")
    }
    (tmp_path / "plain").mkdir()
    for i in range(60):  # in the order of their names, which is that of the rows
        (tmp_path / "plain" / f"{i:02}.txt").write_text(words(i))
    assert hashes == {resolve("text", {"path": str(tmp_path / "plain")}).hash}
    fault = refused("huggingface", {"path": str(tmp_path / "disk"), "column": "text"})
    assert (fault.code, fault.found) == ("SC330", 'no column "text"')


def test_splits_of_hugging_face_are_kept(tmp_path):
    datasets = pytest.importorskip("datasets")
    parts = {"train": range(50), "test": range(50, 60)}
    made = {k: datasets.Dataset.from_dict(rows(v)) for k, v in parts.items()}
    datasets.DatasetDict(made).save_to_disk(str(tmp_path / "two"))
    manifest = resolve("huggingface", {"path": str(tmp_path / "two"), "column": "body"})
    assert "50 + 10 documents" in manifest.detail


def test_data_sets_that_are_none(tmp_path):
    pytest.importorskip("datasets")
    assert refused("huggingface", {}).code == "SC012"
    assert refused("huggingface", {"path": str(tmp_path / "none")}).found == "is not there"
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    fault = refused("huggingface", {"path": str(tmp_path / "x.parquet")})
    assert (fault.code, fault.found[:14]) == ("SC330", "cannot be read")


# -------------------------------------------------------------------------------------- labelled


def table(path, count=60, **more):
    lines = [
        {"text": words(i, 5), "label": "ab"[i % 2], "split": "test" if i % 5 == 0 else "train"}
        for i in range(count)
    ]
    path.write_text("\n".join(json.dumps(line | more) for line in lines))
    return {"path": str(path), "length": 24}


def test_labelled_texts(tmp_path):
    manifest = resolve("labelled", table(tmp_path / "x.jsonl"))
    train, validation = arrays(manifest.as_dict())
    assert manifest.facts == {"classes": 2, "context": 24}
    assert (manifest.train_tokens, manifest.validation_tokens) == (48 * 24, 12 * 24)
    assert manifest.names == ("a", "b")
    assert train["tokens"].shape == (48, 24)
    assert validation["labels"].tolist() == [0, 1] * 6
    first = words(0, 5).encode()[:24].ljust(24, b"\0")
    assert validation["tokens"][0].tobytes() == first


def test_labelled_tables_are_alike_in_both_forms(tmp_path):
    options = table(tmp_path / "x.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().split("\n")]
    text = "text,label,split\n" + "".join(f"{r['text']},{r['label']},{r['split']}\n" for r in lines)
    (tmp_path / "x.csv").write_text(text)
    same = resolve("labelled", options | {"path": str(tmp_path / "x.csv")})
    assert same.hash == resolve("labelled", options).hash


@pytest.mark.parametrize(
    ("spoil", "code", "found"),
    [
        (lambda t: t + '\n{"text": "x", "label": "c", "split": "train"}', "SC333", 'label "c"'),
        (lambda t: t + "\n" + t.split("\n")[0].replace("test", "train"), "SC332", "its text is"),
        (lambda t: t + "\n{]", "SC334", "no JSON"),
        (lambda t: t.replace("label", "class"), "SC330", 'no column "label"'),
        (lambda t: t.replace('"b"', '"a"'), "SC333", "one label"),
        (lambda t: t.replace('"test"', '"train"'), "SC330", "no rows for validation"),
    ],
)
def test_labelled_tables_that_cannot_be_used(tmp_path, spoil, code, found):
    options = table(tmp_path / "x.jsonl")
    path = tmp_path / "x.jsonl"
    path.write_text(spoil(path.read_text()))
    fault = refused("labelled", options)
    assert fault.code == code
    assert fault.found.startswith(found)


def test_tokenised_labelled_texts(tmp_path):
    options = table(tmp_path / "x.jsonl") | {"length": 4} | tokenizer_of(tmp_path)
    _, validation = arrays(resolve("labelled", options).as_dict())
    expected = [int(w[1:]) + 2 for w in words(0, 5).split()][:4]
    assert validation["tokens"][0].tolist() == expected


# ------------------------------------------------------------------------- what is always there


def test_the_domains_of_the_library_share_no_file():
    most, rest = (
        [part.tobytes() for part in load(resolve("stdlib-split", {"part": name}).as_dict())]
        for name in ("most", "rest")
    )
    files = [set(part.split(b"\0")) - {b""} for part in (*most, *rest)]
    for i in range(4):
        assert len(files[i]) > 5
        for j in range(i):
            assert not files[i] & files[j]
    every = {text for _, text in _stdlib_files() if b"\0" not in text and text}
    assert set.union(*files) >= every
    assert b"class BaseEventLoop(" in rest[0] + rest[1]
    assert b"class BaseEventLoop(" not in most[0] + most[1]


def test_shuffled_text_keeps_its_frequencies_alone():
    most = load(resolve("stdlib-split").as_dict())
    shuffled = load(resolve("stdlib-split", {"part": "shuffled"}).as_dict())
    for part, odd in zip(most, shuffled, strict=True):
        np.testing.assert_array_equal(
            np.bincount(part, minlength=256), np.bincount(odd, minlength=256)
        )
    text = shuffled[0][:1_000_000].astype(int)
    pairs = np.zeros((256, 256))
    np.add.at(pairs, (text[:-1], text[1:]), 1)
    shares = pairs / pairs.sum()
    alone = np.outer(shares.sum(axis=1), shares.sum(axis=0))
    seen = shares > 0
    information = (shares[seen] * np.log(shares[seen] / alone[seen])).sum()
    assert information < 0.01  # nats between neighbours; in the text itself it is above 1


CLASSES = {"classes": 3, "symbols": 5, "length": 6, "examples": 50, "validation_examples": 40_000}


def test_chains_to_be_told_apart_and_the_best_classifier():
    from scaling.runs.sources.markov import stationary
    from scaling.runs.sources.markov_classes import (
        MARKOV_CLASSES,
        log_posterior,
        transition_matrices,
    )

    options = {o.name: o.default for o in MARKOV_CLASSES.options} | CLASSES
    made = MARKOV_CLASSES.make(options, None)
    chains = transition_matrices(options)
    tokens, labels = made.validation["tokens"], made.validation["labels"]
    starts = np.array([stationary(chain) for chain in chains])
    for row in tokens[:20]:  # Bayes' rule, one sequence at a time
        chance = [starts[k][row[0]] * np.prod(chains[k][row[:-1], row[1:]]) for k in range(3)]
        own = np.exp(log_posterior(chains, starts, row[None]))[0]
        np.testing.assert_allclose(own, np.array(chance) / sum(chance), rtol=1e-9)
    found = np.exp(log_posterior(chains, starts, tokens))
    error = (found.argmax(axis=1) != labels).mean()
    expected = (1 - found.max(axis=1)).mean()  # calibrated, since labels follow the posterior
    assert error == pytest.approx(expected, abs=4 * (0.25 / 40_000) ** 0.5)
    assert f"error {error:.4f}" in made.detail
    assert made.entropy == pytest.approx(-np.log(found[np.arange(40_000), labels]).mean(), rel=1e-9)
    assert np.bincount(labels) == pytest.approx(40_000 / 3, rel=0.05)
