"""HubClient: the few things asked of the Hub, through `huggingface_hub`, with errors that help."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motionbench.terminal import is_terminal

from .address import DEFAULT_REVISION, Address
from .errors import LOGIN, HubError, hub_errors

Content = bytes | Path


@dataclass(frozen=True)
class RemoteState:
    """What a branch holds: its commit, and per path the hashes by which a file is known there."""

    sha: str
    private: bool
    files: Mapping[str, str]  # path -> SHA-256 of a large file, git's blob id of a small one
    sizes: Mapping[str, int]

    def holds(self, path: str, content: Content) -> bool:
        """Whether the file at `path` there has these bytes."""
        known = self.files.get(path)
        return known is not None and known in (sha256_of(content), blob_id_of(content))


@dataclass(frozen=True)
class Changes:
    """What a commit would do: files to add or replace, paths to delete, paths that stay."""

    additions: dict[str, Content] = field(default_factory=dict)
    deletions: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.additions or self.deletions)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file to add."""
        return {p: len(c) if isinstance(c, bytes) else c.stat().st_size for p, c in self.additions.items()}


def changes_between(remote: RemoteState | None, files: Mapping[str, Content], deletions: Iterable[str]) -> Changes:
    """The changes that make `files` true on top of a remote state; a file with the same bytes is not sent."""
    if remote is None:
        return Changes({path: files[path] for path in sorted(files)})
    same = tuple(sorted(path for path, content in files.items() if remote.holds(path, content)))
    new = {path: files[path] for path in sorted(set(files) - set(same))}
    return Changes(new, tuple(sorted(p for p in set(deletions) if p in remote.files and p not in files)), same)


class HubClient:
    """Talks to one Hub (HF_ENDPOINT) as one user (the token of `hf auth login` or HF_TOKEN)."""

    def __init__(self) -> None:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars

        if not is_terminal(sys.stderr):
            disable_progress_bars()
        self.api = HfApi(library_name="motionbench")

    def require_token(self) -> None:
        """Raises HubError if no token is to be found: said before anything is prepared."""
        from huggingface_hub import get_token

        if not get_token():
            raise HubError(f"no token found; {LOGIN}")

    def resolve(self, address: Address) -> str:
        """The commit that a branch, a tag or a (short) hash means. Raises HubError."""
        with hub_errors(f"find revision {address.revision} of", address.repo):
            return str(self.api.repo_info(address.repo, repo_type="dataset", revision=address.revision).sha)

    def state(self, address: Address) -> RemoteState | None:
        """What the branch holds now; None if the repository or the branch is not there yet. Raises HubError."""
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
        from huggingface_hub.hf_api import RepoFile

        with hub_errors("read", address.repo):
            try:
                info = self.api.repo_info(address.repo, repo_type="dataset", revision=address.revision)
            except (RepositoryNotFoundError, RevisionNotFoundError):
                return None
            tree = self.api.list_repo_tree(address.repo, repo_type="dataset", revision=info.sha, recursive=True)
            rows = [entry for entry in tree if isinstance(entry, RepoFile)]
        hashes = {row.path: row.lfs.sha256 if row.lfs else row.blob_id for row in rows}
        return RemoteState(str(info.sha), bool(info.private), hashes, {row.path: row.size for row in rows})

    def base(self, address: Address) -> RemoteState | None:
        """What the branch holds, or will hold once it is made: a new one starts as main. Raises HubError."""
        return self.state(address) or self.state(Address(address.repo))

    def read(self, address: Address, sha: str, path: str) -> bytes:
        """The bytes of one file of a commit. Raises HubError."""
        with hub_errors(f"read {path} of", address.repo):
            local = self.api.hf_hub_download(address.repo, path, repo_type="dataset", revision=sha)
            return Path(local).read_bytes()

    def download(self, address: Address, sha: str, patterns: list[str]) -> Path:
        """The files of a commit that match, in the Hub's local cache: what arrived in an earlier try is kept."""
        with hub_errors("pull", address.repo):
            folder = self.api.snapshot_download(
                address.repo, repo_type="dataset", revision=sha, allow_patterns=patterns, max_workers=4
            )
        return Path(folder)

    def prepare(self, address: Address, private: bool) -> None:
        """Makes the repository and the branch where they are absent. Raises HubError."""
        with hub_errors("create", address.repo):
            self.api.create_repo(address.repo, repo_type="dataset", private=private, exist_ok=True)
            if address.revision != DEFAULT_REVISION:
                self.api.create_branch(address.repo, repo_type="dataset", branch=address.revision, exist_ok=True)

    def commit(self, address: Address, changes: Changes, message: str, parent: str | None) -> str:
        """One commit with all changes, or none; returns its hash. What an earlier try uploaded is not sent again.

        parent: the commit that the changes were computed from; another one there in the meantime raises HubError.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[Any] = [
            CommitOperationAdd(
                path_in_repo=path, path_or_fileobj=content if isinstance(content, bytes) else str(content)
            )
            for path, content in changes.additions.items()
        ]
        operations += [CommitOperationDelete(path_in_repo=path) for path in changes.deletions]
        with hub_errors("push to", address.repo):
            made = self.api.create_commit(
                address.repo, operations, commit_message=message, repo_type="dataset",
                revision=address.revision, parent_commit=parent,
            )  # fmt: skip
        return str(made.oid)


def sha256_of(content: Content) -> str:
    """SHA-256 of bytes or of a file, in hex."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def blob_id_of(content: Content) -> str:
    """Git's name for bytes or a file: SHA-1 over a header and the bytes."""
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    if isinstance(content, bytes):
        digest.update(content)
    else:
        with content.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()
