"""Gathers source files of git repositories, each at one commit, as a corpus: JSON lines, one file a line.

What the default model was trained on is listed in corpus.json beside this package: repository, commit, licence, set.
"""

import argparse
import hashlib
import json
import lzma
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from .corpus import Document, read_documents

MIN_CHARACTERS = 200
MAX_CHARACTERS = 60_000
# Of a whole file and of one line: more is data, or code that a program wrote.
MAX_MEAN_LINE = 120
MAX_LINE = 2_000
# Code of others, and what is no code that anyone reads: names of folders.
LEFT_OUT = re.compile(
    r"(node_modules|_?vendor(ed)?|third[_-]?party|dist|build|locales?|i18n|__snapshots__|__fixtures__|baselines?|testdata)"
)
LEFT_OUT_ENDINGS = (".d.ts", ".min.js", ".bundle.js")


@dataclass(frozen=True)
class Source:
    """One repository of the list. `set`: the corpus it belongs to; `suffixes`: names of its files end so."""

    repo: str
    license: str
    commit: str
    set: str
    suffixes: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", type=Path, help="corpus.json: which repositories, at which commits")
    parser.add_argument("--set", required=True, help="of the list, the set to gather")
    parser.add_argument("--clones", type=Path, required=True, help="folder of git repositories, as owner/name")
    parser.add_argument("--apart-from", type=Path, nargs="*", default=[], help="corpora whose files are left out")
    parser.add_argument("--repository-megabytes", type=float, default=4.0, help="at most, of each repository")
    parser.add_argument("--out", type=Path, required=True, help=".jsonl.xz to write")


def run(arguments: argparse.Namespace) -> None:
    sources = [source for source in read_sources(arguments.sources) if source.set == arguments.set]
    if not sources:
        raise ValueError(f"{arguments.sources}: expected repositories of the set {arguments.set!r}, found none")
    seen = {fingerprint(document.text) for document in read_documents(arguments.apart_from)}
    with lzma.open(arguments.out, "wt", encoding="utf-8", preset=1) as lines:
        for source in sources:
            limit = round(arguments.repository_megabytes * 1e6)
            documents = list(within(limit, unseen(source_files(source, arguments.clones), seen)))
            lines.writelines(json.dumps(asdict(document)) + "\n" for document in documents)
            print(source.repo, len(documents), "files", sum(len(d.text) for d in documents), "characters", flush=True)


def read_sources(path: Path) -> list[Source]:
    return [Source(**{**record, "suffixes": tuple(record["suffixes"])}) for record in json.loads(path.read_text())]


def source_files(source: Source, clones: Path) -> Iterator[Document]:
    """The files worth learning from, in an order that has nothing to do with their names."""
    clone = clones / source.repo
    listed = git(clone, "ls-tree", "-rz", source.commit)
    entries = [entry.split("\t", 1) for entry in listed.decode(errors="replace").split("\0") if entry]
    # Mode, type and name of the blob; links are no files.
    blobs = {path: facts.split()[2] for facts, path in entries if facts.startswith("100")}
    paths = sorted((p for p in blobs if is_wanted(p, source.suffixes)), key=fingerprint)
    for path, text in zip(paths, contents(clone, [blobs[p] for p in paths]), strict=True):
        if text is not None and is_code(text):
            yield Document(source.repo, path, source.license, text)


def contents(clone: Path, blobs: list[str]) -> Iterator[str | None]:
    """The text of each blob, None for one that is absent or no UTF-8."""
    answer = git(clone, "cat-file", "--batch", asked="\n".join(blobs))
    place = 0
    for _ in blobs:
        end = answer.index(b"\n", place)
        header, place = answer[place:end].split(), end + 1
        if header[-1] == b"missing":
            yield None
            continue
        size = int(header[2])
        try:
            yield answer[place : place + size].decode()
        except UnicodeDecodeError:
            yield None
        place += size + 1


def git(clone: Path, *arguments: str, asked: str = "") -> bytes:
    """What git answers. Raises ValueError with its words, where the repository or the commit is absent."""
    done = subprocess.run(["git", "-C", str(clone), *arguments], input=asked.encode(), capture_output=True)
    if done.returncode:
        raise ValueError(f"{clone}: git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def is_wanted(path: str, suffixes: tuple[str, ...]) -> bool:
    folders = PurePosixPath(path).parts[:-1]
    is_left_out = path.endswith(LEFT_OUT_ENDINGS) or any(LEFT_OUT.fullmatch(folder) for folder in folders)
    return path.endswith(suffixes) and not is_left_out


def is_code(text: str) -> bool:
    lines = text.splitlines()
    return (
        MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS
        and max(map(len, lines)) <= MAX_LINE
        and len(text) / len(lines) <= MAX_MEAN_LINE
    )


def unseen(documents: Iterable[Document], seen: set[str]) -> Iterator[Document]:
    """Those whose text is not among `seen`, to which they are added."""
    for document in documents:
        mark = fingerprint(document.text)
        if mark not in seen:
            seen.add(mark)
            yield document


def within(limit: int, documents: Iterable[Document]) -> Iterator[Document]:
    """The first ones, of `limit` characters in all at most."""
    for document in documents:
        limit -= len(document.text)
        if limit < 0:
            return
        yield document


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
