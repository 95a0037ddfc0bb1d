"""Push: one atomic commit per call that makes a repository hold the given splits; none if it holds them already."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from motionbench.case import Category
from motionbench.errors import ManifestError
from motionbench.manifest import MANIFEST
from motionbench.split import Split

from .address import Address
from .card import render_card
from .card_check import check_card
from .catalog import CATALOG, Catalog, CategoryEntry, SplitEntry, bytes_to_catalog, catalog_to_bytes, count_words
from .client import Changes, Content, HubClient, RemoteState, changes_between, sha256_of
from .errors import HubError
from .licenses import may_pass_on
from .tables import SPLIT_NAME, Reference, fingerprint, references_of, write_tables

EXTRA = ("README.md", "LICENSE", "LICENSE.md", "NOTICE.md", "lock.json")  # what may lie beside a manifest and travels
MESSAGE = "Set splits "


@dataclass(frozen=True)
class Pushed:
    """What a push did, or in a dry run would do.

    commit: the one that now holds the content (None: a dry run); changed: it is a new one.
    sent: bytes of each file added or replaced; deleted, unchanged: paths.
    """

    repo: str
    commit: str | None
    changed: bool
    sent: dict[str, int]
    deleted: tuple[str, ...]
    unchanged: tuple[str, ...]


def push_splits(
    splits: list[Split], address: Address, *, private: bool = False, dry_run: bool = False, allow: Collection[str] = ()
) -> Pushed:
    """Makes the branch hold these splits beside those it holds already. Raises HubError, ManifestError.

    Nothing is sent for a category whose content the branch has; the same content makes no commit. Interrupted, the
    same call goes on: parts that arrived are not sent again.
    allow: licenses beyond the open ones that may be passed on.
    """
    for split in splits:
        check_split_may_go(split, allow)
    client = HubClient()
    client.require_token()
    remote = client.base(address)
    with tempfile.TemporaryDirectory(prefix="motionbench-push-") as folder:
        catalog = read_catalog(client, address, remote)
        files: dict[str, Content] = {}
        old: set[str] = set()
        for split in splits:
            published = catalog.get(split.name)
            entry, made = prepare(split, published, remote, Path(folder))
            catalog[split.name] = entry
            files |= made
            old |= ({*published.tables, *published.files} - {*entry.tables, *entry.files}) if published else set()
        card = render_card(address.repo, catalog)
        if problems := check_card(card):
            raise HubError(f"the card of {address.repo} would be wrong: {'; '.join(problems)}")
        files |= {CATALOG: catalog_to_bytes(catalog), "README.md": card.encode()}
        changes = changes_between(remote, files, old)
        return carry_out(
            client, address, changes, remote, private, dry_run, MESSAGE + ", ".join(s.name for s in splits)
        )


def carry_out(
    client: HubClient, address: Address, changes: Changes, remote: RemoteState | None, private: bool, dry_run: bool,
    message: str,
) -> Pushed:  # fmt: skip
    """Commits the changes, if there are any and this is no dry run; makes the repository and branch it needs."""
    if private and remote is not None and not remote.private:
        raise HubError(
            f"{address.repo} is public already; make it private on its settings page, or push without --private"
        )
    facts = (changes.sizes(), changes.deletions, changes.unchanged)
    if dry_run or not changes:
        return Pushed(address.repo, remote.sha if remote and not dry_run else None, False, *facts)
    client.prepare(address, private)
    now = client.state(address)
    if private and now is not None and not now.private:
        raise HubError(f"{address.repo} is public already; nothing was sent")
    parent = remote.sha if remote else now.sha if now else None
    commit = client.commit(address, changes, message, parent)
    return Pushed(address.repo, commit, True, *facts)


def check_split_may_go(split: Split, allow: Collection[str]) -> None:
    """Raises ManifestError for a name the Hub cannot take, and for clips that may not be passed on."""
    if not SPLIT_NAME.fullmatch(split.name):
        raise ManifestError(
            f"split {split.name!r}: a name on the Hub is made of letters, digits and underscores; rename its folder"
        )
    closed = sorted({case.license for case in split.cases if not may_pass_on(case.license)} - set(allow))
    if closed:
        raise ManifestError(
            f"split {split.name!r} holds clips under {closed[0]!r}, which may not be passed on; share the recipe"
            f" (`motionbench data build`) instead, or, if you hold the right, push with --allow-license '{closed[0]}'"
        )


def read_catalog(client: HubClient, address: Address, remote: RemoteState | None) -> Catalog:
    """The catalog of the branch; an empty one where it has none yet. Raises HubError."""
    if remote is None or CATALOG not in remote.files:
        return {}
    return bytes_to_catalog(client.read(address, remote.sha, CATALOG), str(address))


def prepare(
    split: Split, published: SplitEntry | None, remote: RemoteState | None, folder: Path
) -> tuple[SplitEntry, dict[str, Content]]:
    """The split's entry in the catalog, and the files that the branch must hold: tables only where they changed."""
    files: dict[str, Content] = plain_files(split)
    categories: dict[str, CategoryEntry] = {}
    for category in (c for c in Category if any(case.category == c for case in split.cases)):
        references = references_of(split, category)
        known = published.categories.get(category) if published else None
        entry = describe(split, references)
        if known and known.fingerprint == entry.fingerprint and has_tables(remote, known):
            categories[category] = known
            continue
        tables = write_tables(split, category, references, folder)
        categories[category] = replace(entry, tables={path: sha256_of(local) for path, local in tables.items()})
        files |= tables
    return SplitEntry(split.revision, categories, tuple(sorted(plain_files(split))), **count_words(split.cases)), files


def describe(split: Split, references: list[Reference]) -> CategoryEntry:
    """A category's entry, its tables still unknown."""
    cases = sum(len(reference.cases) for reference in references)
    size = sum(reference.bytes for reference in references)
    return CategoryEntry(fingerprint(split, references), len(references), cases, size, {})


def has_tables(remote: RemoteState | None, entry: CategoryEntry) -> bool:
    """Whether the branch has exactly the tables that its catalog names."""
    return remote is not None and all(remote.files.get(path) == sha for path, sha in entry.tables.items())


def plain_files(split: Split) -> dict[str, Content]:
    """Manifest, card, license and lock of a split by their path in the repository."""
    lines = [json.dumps(asdict(case), ensure_ascii=False) for case in split.cases]
    files: dict[str, Content] = {f"splits/{split.name}/{MANIFEST}": "".join(f"{line}\n" for line in lines).encode()}
    if (split.root / MANIFEST).is_file():  # a lone .jsonl may lie in any folder, among files that are not its own
        beside = [split.root / name for name in EXTRA] + sorted((split.root / "scenes").rglob("*"))
        files |= {f"splits/{split.name}/{p.relative_to(split.root).as_posix()}": p for p in beside if p.is_file()}
    return files
