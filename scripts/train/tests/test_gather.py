import argparse
import json
import lzma
import subprocess
from pathlib import Path

import pytest

from foretoken_train import gather
from foretoken_train.corpus import read_documents

CODE = "export function add(a: number, b: number): number {\n  return a + b; // sum\n}\n" * 4
FILES = {
    "src/add.ts": CODE,
    "src/same.ts": CODE,
    "src/other.tsx": CODE + "// another\n",
    "src/known.ts": CODE + "// known\n",
    "src/short.ts": "let x = 1\n",
    "src/long-lines.ts": "x" * 2_001 + "\n" + CODE,
    "src/types.d.ts": CODE + "// types\n",
    "src/readme.md": CODE + "# text\n",
    "node_modules/a/index.ts": CODE + "// of others\n",
    "lib/__snapshots__/a.ts": CODE + "// snapshot\n",
}


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "clones" / "a" / "b"
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "src" / "latin.ts").write_bytes(CODE.encode() + b"// \xe9\n")
    (folder / "src" / "link.ts").symlink_to("add.ts")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a")
    commit = git(folder, "rev-parse", "HEAD")
    # What comes after the commit of the list is not gathered.
    (folder / "src" / "later.ts").write_text(CODE + "// later\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "b")
    path = tmp_path / "corpus.json"
    source = {"repo": "a/b", "license": "MIT", "commit": commit, "set": "typescript", "suffixes": [".ts", ".tsx"]}
    path.write_text(json.dumps([source]))
    return path


def gathered(sources: Path, **settings: object) -> dict[str, str]:
    parser = argparse.ArgumentParser()
    gather.add_arguments(parser)
    out = sources.parent / "out.jsonl.xz"
    arguments = parser.parse_args(
        [str(sources), "--set", "typescript", "--clones", str(sources.parent / "clones"), "--out", str(out)]
    )
    gather.run(argparse.Namespace(**{**vars(arguments), **settings}))
    return {document.path: document.text for document in read_documents([out])}


def test_gathers_code_once_and_at_its_commit(sources: Path) -> None:
    known = sources.parent / "known.jsonl.xz"
    record = {"repo": "c/d", "path": "x.ts", "license": "MIT", "text": FILES["src/known.ts"]}
    known.write_bytes(lzma.compress(json.dumps(record).encode()))
    files = gathered(sources, apart_from=[known])
    assert len(files) == 2 and files["src/other.tsx"] == FILES["src/other.tsx"]
    assert CODE in files.values()


def test_takes_no_more_of_a_repository_than_asked(sources: Path) -> None:
    assert len(gathered(sources)) == 3
    assert len(gathered(sources, repository_megabytes=len(CODE) * 1.5 / 1e6)) == 1


def test_names_a_set_that_is_not_listed(sources: Path) -> None:
    with pytest.raises(ValueError, match=r"corpus\.json: expected repositories of the set 'rust'"):
        gathered(sources, set="rust")


def test_says_which_clone_is_absent(sources: Path) -> None:
    with pytest.raises(ValueError, match=r"elsewhere/a/b: git ls-tree: .*elsewhere/a/b"):
        gathered(sources, clones=sources.parent / "elsewhere")
