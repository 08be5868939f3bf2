"""Reading PDF and office documents: pages a second on real files, and damaged files that must cost only themselves.

    python -m benchmarks.document_reading FOLDER          # all PDF below FOLDER; beside pypdf where it is installed
    python -m benchmarks.document_reading --damaged 1000  # mutations of files of every kind, into one index

Real PDF are in Debian's packages r-doc-pdf and pari-doc: apt-get download them, dpkg-deb -x FILE FOLDER.
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from qwen3_reranker.documents.file_documents import extracted_document
from qwen3_reranker.documents.text_extractor import TextExtractor
from qwen3_reranker.errors import InputError
from qwen3_reranker.search import Index
from qwen3_reranker.search.search_index import PASSAGE_TOKENS
from testing import office_files


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--damaged", type=int, default=0)
    options = parser.parse_args()
    if options.folder is not None:
        measure(sorted(path for path in options.folder.rglob("*.pdf") if path.is_file() and not path.is_symlink()))
    if options.damaged:
        damage(options.damaged)


def measure(files: list[Path]) -> None:
    """Pages and characters a second of all files together, and the time to cut their passages."""
    readers: dict[str, Callable[[Path], tuple[int, int]]] = {}
    passages, cutting = 0, 0.0
    with TextExtractor() as extractor:

        def ours(path: Path) -> tuple[int, int]:
            nonlocal passages, cutting
            extracted = extractor.text(path.read_bytes(), path.name)
            begun = time.perf_counter()
            passages += len(extracted_document(extracted, PASSAGE_TOKENS).passages)
            cutting += time.perf_counter() - begun
            return int(extracted.fields["pages"]), len(extracted.text)

        readers["ours"] = ours
        if find_spec("pypdf") is not None:
            readers["pypdf"] = _by_pypdf
        print("| reader | files | pages | million characters | seconds | pages a second |\n|---|---|---|---|---|---|")
        for name, read in readers.items():
            begun = time.perf_counter()
            found = [read(path) for path in files]
            seconds = time.perf_counter() - begun
            pages, characters = (sum(each) for each in zip(*found, strict=True))
            million = characters / 1e6
            print(f"| {name} | {len(files)} | {pages:,} | {million:.2f} | {seconds:.1f} | {pages / seconds:,.0f} |")
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(f"\nours: {passages:,} passages, cut in {cutting:.1f} of these seconds; the process took up to {memory} MiB")


def _by_pypdf(path: Path) -> tuple[int, int]:
    from pypdf import PdfReader

    reader = PdfReader(path)
    return len(reader.pages), sum(len(page.extract_text()) for page in reader.pages)


def damage(count: int) -> None:
    """Write damaged files into a folder among whole ones, index it, and check that these are found."""
    makers = {
        "pdf": office_files.pdf([[(f"Heading {page}", "Book trains early. " * 20)] for page in range(5)]),
        "docx": office_files.word(),
        "pptx": office_files.slides(),
        "xlsx": office_files.workbook(50),
        "odt": office_files.open_document_text(),
        "odp": office_files.open_document_slides(),
        "ods": office_files.open_document_sheet(),
        "epub": office_files.book(),
    }
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as holder:
        folder = Path(holder, "files")
        folder.mkdir()
        slowest = 0.0
        with TextExtractor() as extractor:
            for number in range(count):
                ending = chance.choice(list(makers))
                content = _damaged(makers[ending], chance)
                (folder / f"{number}.{ending}").write_bytes(content)
                begun = time.perf_counter()
                with suppress(InputError):
                    extractor.text(content, f"x.{ending}")
                slowest = max(slowest, time.perf_counter() - begun)
        for ending, content in makers.items():
            (folder / f"whole.{ending}").write_bytes(content)
        with Index(Path(holder, "index"), reranker=None) as index:
            begun = time.perf_counter()
            changes = index.add(folder)
            seconds = time.perf_counter() - begun
            [held] = index.status()
            found = {path.name for path in folder.glob("whole.*") if index.lines(path.name).num_lines}
        left_out = {reason: len(paths) for reason, paths in changes.skipped.reasons.items()}
        assert held.files + sum(left_out.values()) == count + len(makers)
        assert found == {f"whole.{ending}" for ending in makers}
        print(f"{count:,} damaged files and {len(makers)} whole ones in {seconds:.1f} s; {slowest:.2f} s the slowest")
        print(f"{held.files:,} read; left out: {left_out}")


def _damaged(content: bytes, chance: random.Random) -> bytes:
    """A file, or one member of an archive, with bytes that were changed, cut or doubled; the first bytes stay."""
    if content.startswith(b"PK") and chance.random() < 0.7:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = chance.choice([name for name, member in members.items() if len(member) > 16])
        return office_files.zipped(members | {name: _changed(members[name], chance)})
    return _changed(content, chance)


def _changed(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 8, 64, 512])):
        changed[chance.randrange(8, len(changed))] = chance.choice([0, 255, 48, 57, chance.randrange(256)])
    at, size = chance.randrange(8, len(changed)), chance.randrange(1, 2000)
    match chance.randrange(4):
        case 0:
            del changed[at:]
        case 1:
            del changed[at : at + size]
        case 2:
            changed[at:at] = changed[at : at + size]
    return bytes(changed)


if __name__ == "__main__":
    main()
