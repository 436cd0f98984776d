from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from foretoken_train.batches import TokenFile
from foretoken_train.evaluation_data import ValidationSet
from foretoken_train.next_line import Position, exact_match, first_line, positions, prompt_ids
from foretoken_train.tokenizer import END_OF_TEXT, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

TEXTS = [f"def f{n}(x):\n    if x:\n        return {n}\n\n    return x + {n}\n" for n in range(5)]


@pytest.fixture
def validation(tokenizer: Tokenizer, tmp_path: Path) -> ValidationSet:
    documents = [tokenizer.encode(text).ids for text in TEXTS]
    np.savez(
        tmp_path / "valid.npz",
        tokens=np.concatenate(documents).astype(np.uint16),
        offsets=np.cumsum([0, *map(len, documents)]),
        weights=np.ones(len(documents)),
    )
    return ValidationSet("valid", TokenFile(tmp_path / "valid.npz"), 3.0, 0)


def test_positions_are_lines_of_the_documents(validation: ValidationSet, tokenizer: Tokenizer):
    chosen = positions(validation, tokenizer, 12)
    assert len(chosen) == 12
    for position in chosen:
        assert position.line in ("if x:",) or position.line.startswith("return")
        whole = [text for text in TEXTS if text.startswith(position.prefix + "\n")]
        assert any(text.endswith(position.line + position.suffix) for text in whole)
    assert positions(validation, tokenizer, 12) == chosen


def test_a_prompt_with_suffix_is_in_fill_in_the_middle_order(tokenizer: Tokenizer):
    position = Position("a = 1", "b = 2", "\nc = 3")
    ids = prompt_ids(position, tokenizer, "psm").tolist()
    at = [ids.index(tokenizer.token_to_id(name)) for name in (FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE)]
    assert at[0] == 0 and at[-1] == len(ids) - 1
    assert tokenizer.decode(ids[1 : at[1]]) == "a = 1"
    assert tokenizer.decode(ids[at[1] + 1 : -1]) == "\nc = 3"
    reordered = [FIM_PREFIX, FIM_SUFFIX, "\nc = 3", FIM_MIDDLE, "a = 1"]
    spm = prompt_ids(position, tokenizer, "spm").tolist()
    assert tokenizer.decode(spm, skip_special_tokens=False) == "".join(reordered)
    assert tokenizer.decode(prompt_ids(position, tokenizer, None).tolist()) == "a = 1"


def test_the_first_line_stops_at_its_line_break(tokenizer: Tokenizer):
    ids = iter(tokenizer.encode("\n\n    return x\n    never").ids)
    assert first_line(ids, tokenizer) == "return x"
    assert next(ids, None) is not None


def test_the_first_line_stops_at_the_end_of_text(tokenizer: Tokenizer):
    ids = [*tokenizer.encode("\nreturn x").ids, tokenizer.token_to_id(END_OF_TEXT), *tokenizer.encode("import a").ids]
    assert first_line(iter(ids), tokenizer) == "return x"


def test_exact_match_counts_whole_lines_only(validation: ValidationSet, tokenizer: Tokenizer):
    where = positions(validation, tokenizer, 10)
    answers = iter([f"\n  {p.line}\nmore" if i % 2 else f"\n{p.line} y\n" for i, p in enumerate(where)])
    share = exact_match(where, tokenizer, lambda _: iter(tokenizer.encode(next(answers)).ids), False, "test")
    assert share == 0.5
