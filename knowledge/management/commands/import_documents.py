"""``manage.py import_documents COLLECTION PATH…``: files and folders become documents of a collection."""

import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from core import audit
from core.errors import ConflictError
from knowledge.embedders import EmbedderUnavailable
from knowledge.management.naming import add_collection, find_collection, organizations_of
from knowledge.models import Collection, Document, DocumentStatus
from knowledge.models.languages import Language
from knowledge.services.documents import ContentRefusedError, Outcome, content_of, put_document, read_bounded
from knowledge.services.extraction import BY_SUFFIX
from knowledge.services.indexing import ModelsChangedError
from knowledge.services.processing import DocumentBusyError, process_document

WORDS = {Outcome.CREATED: "new", Outcome.REPLACED: "with a new version", Outcome.UNCHANGED: "there already"}


@dataclass(frozen=True)
class Found:
    """A file to import, and the id that its document gets: its path below the folder that was named."""

    path: Path
    document_id: str


class Command(BaseCommand):
    """Imports what a collection hasn't yet: to run it again after a change, or a break, does only the rest."""

    help = "Import files and folders into a collection. A worker processes them, or --process does it here and now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        add_collection(parser)
        parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="A file, or a folder with all in it.")
        parser.add_argument(
            "--glob",
            action="append",
            metavar="PATTERN",
            help="Which files of a folder, such as '**/*.md'; may be given again. Default: all of a known kind.",
        )
        parser.add_argument("--create", action="store_true", help="Make the collection where there is none so named.")
        parser.add_argument("--language", choices=Language.values, help="Default: as each text, or staff, tells.")
        parser.add_argument("--process", action="store_true", help="Process the documents here and now.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import, and say what became of each kind of file; the status is 1 if one was refused, or failed."""
        self.passed_over: Counter[str] = Counter()
        self.bad = 0
        files = sorted(self._files(options["paths"], options["glob"]), key=lambda found: found.document_id)
        if not files:
            raise CommandError("There is no file to import.")
        with audit.context("command", details={"command": "import_documents"}):
            collection = self._collection(options["collection"], options["organization"], create=options["create"])
            said = {"language": options["language"]} if options["language"] is not None else {}
            kept = self._import(collection, files, said)
            if options["process"]:
                self._process(kept)
        if self.bad:
            raise CommandError(f"Of {len(files):,} files, {self.bad:,} can't be had; the reasons stand above.")

    def _import(self, collection: Collection, files: list[Found], said: dict[str, str]) -> list[Document]:
        counts: Counter[str] = Counter()
        kept = {}
        for found in self._bar(files, "Import"):
            try:
                with found.path.open("rb") as file:
                    content = content_of(read_bounded(file), name=found.path.name)
                document, outcome = put_document(
                    collection=collection,
                    content=content,
                    document_id=found.document_id,
                    source_uri=found.path.resolve().as_uri(),
                    **said,
                )
            except (ContentRefusedError, ConflictError, OSError) as error:
                counts["refused"] += 1
                self.bad += 1
                self._say(f"{found.path}: {error}")
            else:
                counts[WORDS[outcome]] += 1
                kept[document.pk] = document  # once, whatever number of files has its content
        told = ", ".join(f"{count:,} {word}" for word, count in counts.items())
        self.stdout.write(f"{len(files):,} files: {told}.")
        if self.passed_over:
            told = ", ".join(f"{count:,} {suffix}" for suffix, count in self.passed_over.most_common())
            self.stdout.write(f"Passed over, for no text can be had of their kind: {told}.")
        return list(kept.values())

    def _process(self, documents: list[Document]) -> None:
        """Process the documents. At an embedder out of reach it ends, for that is the same for all of them."""
        counts: Counter[str] = Counter()
        outage: EmbedderUnavailable | None = None
        for document in self._bar(documents, "Process"):
            try:
                processed = process_document(document_id=document.pk)
            except DocumentBusyError:
                counts["being processed elsewhere"] += 1
                continue
            except ModelsChangedError:
                counts["waiting"] += 1
                continue
            except EmbedderUnavailable as error:
                outage = error
                break
            if processed is None:
                counts["processed before"] += 1
                continue
            counts[processed.status] += 1
            if processed.status == DocumentStatus.FAILED:
                self.bad += 1
                self._say(f"{processed.document_id}: {processed.error}")
        counts["waiting"] += len(documents) - counts.total()
        told = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
        self.stdout.write(f"Processed: {told or 'none'}.")
        if outage:
            raise CommandError(f"{outage} Workers go on once it answers; so does --process, when it is run again.")

    def _bar(self, items: list[Any], title: str) -> Iterator[Any]:
        yield from tqdm(items, title, file=sys.stderr, disable=None, unit="file")

    def _say(self, line: str) -> None:
        """Write a line about one file, above the bar."""
        with tqdm.external_write_mode(file=sys.stderr):
            self.stderr.write(line)

    def _files(self, paths: list[Path], patterns: list[str] | None) -> Iterator[Found]:
        for path in paths:
            if path.is_file():
                yield Found(path, path.name)
            elif path.is_dir():
                yield from self._within(path, patterns)
            else:
                raise CommandError(f"There is no {path}.")

    def _within(self, folder: Path, patterns: list[str] | None) -> Iterator[Found]:
        """Yield the files of a folder, but for hidden ones and what links lead out of it."""
        root = folder.resolve()
        seen = set()
        for pattern in patterns or ["**/*"]:
            for path in root.glob(pattern):
                below = path.relative_to(root)
                hidden = any(part.startswith(".") for part in below.parts)
                if hidden or path in seen or not path.is_file() or not path.resolve().is_relative_to(root):
                    continue
                seen.add(path)
                if patterns or path.suffix.lstrip(".").lower() in BY_SUFFIX:
                    yield Found(path, f"{root.name}/{below.as_posix()}")
                else:
                    self.passed_over[path.suffix.lower() or "without suffix"] += 1

    def _collection(self, named: str, slug: str | None, *, create: bool) -> Collection:
        if found := find_collection(named, slug):
            return found
        if not create:
            raise CommandError(f"There is no collection {named}. --create makes it.")
        organizations = organizations_of(slug)
        if len(organizations) != 1:
            raise CommandError("Say by --organization whose collection to make.")
        return Collection.objects.create(organization=organizations[0], name=named)
