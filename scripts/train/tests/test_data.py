import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from foretoken_train.batches import BatchBuilder, TokenFile
from foretoken_train.corpus import read_documents
from foretoken_train.evaluation_data import load_validation
from foretoken_train.tokenizer import END_OF_TEXT, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

TEXT = "export function add(a: number, b: number): number {\n  return a + b; // sum\n}\n" * 8


@pytest.fixture
def token_file(tokenizer: Tokenizer, tmp_path: Path) -> TokenFile:
    ids = np.asarray(tokenizer.encode(TEXT).ids, np.uint16)
    path = tmp_path / "sample.npz"
    offsets = np.arange(5) * len(ids)
    np.savez(path, tokens=np.tile(ids, 4), offsets=offsets, weights=np.ones(4, np.float32))
    path.with_suffix(".json").write_text(json.dumps({"bytes_per_token": 2.0}))
    return TokenFile(path)


def test_reads_xz_and_names_a_malformed_line(tmp_path: Path) -> None:
    record = {"repo": "a/b", "path": "x.ts", "license": "MIT", "text": "// @generated\nlet x = 1"}
    good, bad = tmp_path / "good.jsonl.xz", tmp_path / "bad.jsonl"
    good.write_bytes(lzma.compress(json.dumps(record).encode()))
    bad.write_text(json.dumps(record) + "\n" + json.dumps({"repo": "a/b"}) + "\n")
    (document,) = read_documents([good])
    assert document.text == record["text"] and document.is_generated
    with pytest.raises(ValueError, match=r"bad\.jsonl:2.*path.*license.*text"):
        list(read_documents([bad]))


def test_tokenizer_restores_text(tokenizer: Tokenizer) -> None:
    text = "if (x) {\r\n\treturn 'ü→';\n}\n"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_batches_depend_on_seed_and_number_alone(token_file: TokenFile, tokenizer: Tokenizer) -> None:
    first, second = (BatchBuilder([token_file], tokenizer, 100, fim_rate=0.5, seed=1) for _ in range(2))
    first.batch(0, 4)
    assert (first.batch(7, 4) == second.batch(7, 4)).all()
    assert first.batch(7, 4).shape == (4, 100)


def test_shares_decide_what_each_file_gives(token_file: TokenFile, tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, tokens=np.full(10, 77, np.uint16), offsets=np.asarray([0, 10]), weights=np.ones(1, np.float32))
    corpus = [token_file, TokenFile(path)]
    batches = BatchBuilder(corpus, tokenizer, 64, fim_rate=0, seed=1, shares=[0.0, 1.0])
    assert set(np.unique(batches.batch(0, 4))) == {77, tokenizer.token_to_id(END_OF_TEXT)}


def test_fill_in_the_middle_keeps_the_text(token_file: TokenFile, tokenizer: Tokenizer) -> None:
    builder = BatchBuilder([token_file], tokenizer, 512, fim_rate=1, seed=1)
    for seed in range(10):
        ids = builder.fill_in_the_middle(token_file.document(0), np.random.default_rng(seed))
        text = tokenizer.decode(ids.tolist(), skip_special_tokens=False)
        assert text.endswith(END_OF_TEXT)
        before, after = text.removesuffix(END_OF_TEXT).split(FIM_MIDDLE)
        prefix, suffix = before.removeprefix(FIM_PREFIX).split(FIM_SUFFIX)
        # Prefix-suffix-middle, or suffix-prefix-middle, where the prefix stands behind the marker.
        assert prefix + after + suffix == TEXT


def test_prompts_come_from_documents_long_enough(token_file: TokenFile, tmp_path: Path) -> None:
    validation = load_validation(tmp_path / "sample.npz", end_of_text=0)
    assert validation.prompts(16, 4).shape == (4, 16)
    with pytest.raises(ValueError, match="expected 5 documents of 16 tokens, got 4"):
        validation.prompts(16, 5)
    assert validation.rows(40, 6).shape == (6, 40)
    assert any((validation.rows(40, 6)[0] == window).all() for window in [validation.file.document(0)[:40]])
    assert validation.bits_per_byte(np.log(2)) == pytest.approx(0.5)
