"""A small server that speaks the Hub's HTTP interface on loopback: repositories, branches, commits, large files.

It answers the real client libraries over real sockets. It keeps all in memory; what it is told to break, it breaks.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


def git_blob_id(data: bytes) -> str:
    """What git calls a file of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Commit:
    """One state of a branch: the files by path, and which of them are large."""

    sha: str
    title: str
    files: dict[str, bytes]
    large: frozenset[str]


@dataclass
class Repo:
    """A dataset repository: branches of commits, and whether strangers may see it."""

    private: bool
    branches: dict[str, list[Commit]] = field(default_factory=dict)

    def find(self, revision: str) -> Commit | None:
        """The commit that a branch name or a hash points to."""
        if revision in self.branches:
            return self.branches[revision][-1]
        every = (commit for commits in self.branches.values() for commit in commits)
        return next((commit for commit in every if commit.sha == revision), None)


class HubServer(ThreadingHTTPServer):
    """`with HubServer(tokens={token: user}) as hub`: serves on `hub.url` until the block ends.

    puts_before_failure: after so many uploads of large files the next ones fail. put_seconds: how long
    each of them takes. cut_downloads: tables arrive by half.
    """

    daemon_threads = True

    def __init__(self, tokens: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokens = tokens
        self.repos: dict[str, Repo] = {}
        self.large: dict[str, bytes] = {}
        self.log: list[str] = []
        self.puts: list[str] = []
        self.puts_before_failure: int | None = None
        self.put_seconds = 0.0
        self.cut_downloads = False
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Address to set as HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def keep_large(self, oid: str, data: bytes) -> bool:
        """Keeps a large file; False if no more are taken. Clients send several at once, so count and keep are one."""
        with self.lock:
            if self.puts_before_failure is not None and len(self.puts) >= self.puts_before_failure:
                return False
            self.large[oid] = data
            self.puts.append(oid)
        return True

    def commits(self, repo: str, branch: str = "main") -> list[Commit]:
        """Every commit of a branch, first to last, without the empty one that a repository starts with."""
        return self.repos[repo].branches[branch][1:]

    def __enter__(self) -> HubServer:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *details: object) -> None:
        self.shutdown()
        self.server_close()

    def new_repo(self, name: str, private: bool) -> Repo:
        """A repository whose main branch holds one empty commit."""
        repo = self.repos[name] = Repo(private)
        repo.branches["main"] = [self.new_commit("initial commit", name, {}, frozenset())]
        return repo

    def new_commit(self, title: str, parent: str, files: dict[str, bytes], large: frozenset[str]) -> Commit:
        """A commit whose hash depends on its content and on its parent's hash."""
        digest = hashlib.sha1(f"{parent}{title}".encode(), usedforsecurity=False)
        for path in sorted(files):
            digest.update(f"{path}{git_blob_id(files[path])}".encode())
        return Commit(digest.hexdigest(), title, files, large)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *details: object) -> None:
        """Nothing on stderr: the log is kept in the server."""

    def setup(self) -> None:
        """Without this every small answer waits 40 ms for the other side's delayed acknowledgment."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # ------------------------------------------------------------------ answers
    def answer(self, status: int, value: Any = None, headers: dict[str, str] | None = None) -> None:
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, status: int, message: str, code: str = "") -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer(status, {"error": message}, headers)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().strip() or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    # ------------------------------------------------------------------ who asks
    def user(self) -> str | None:
        """The user behind the token; None for nobody; PermissionError for a token that nobody has."""
        text = self.headers.get("Authorization", "")
        if not text:
            return None
        token = text.removeprefix("Bearer ")
        if token not in self.server.tokens:
            raise PermissionError
        return self.server.tokens[token]

    def handle_any(self) -> None:
        data = self.body()
        parts = urlsplit(self.path)
        path, self.query = parts.path, parse_qs(parts.query)
        with self.server.lock:
            self.server.log.append(f"{self.command} {unquote(path)}")
        try:
            user = self.user()
        except PermissionError:
            if not path.startswith("/lfs/"):
                return self.refuse(401, "Invalid credentials in Authorization header")
            user = None
        if path.startswith("/lfs/"):
            return self.store_large(path.removeprefix("/lfs/"), data)
        if path == "/api/whoami-v2":
            return self.answer(200, {"type": "user", "name": user}) if user else self.refuse(401, "Unauthorized")
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self.create_repo(user, json.loads(data))
        return self.with_repo(user, path, data)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    # ------------------------------------------------------------------ repositories
    def create_repo(self, user: str | None, wish: dict[str, Any]) -> None:
        if user is None:
            return self.refuse(401, "Unauthorized")
        owner = wish.get("organization") or user
        name = f"{owner}/{wish['name']}"
        if owner != user:
            return self.refuse(403, f"You don't have the rights to create a dataset under the namespace {owner!r}")
        address = {"url": f"{self.server.url}/datasets/{name}"}
        with self.server.lock:
            if name in self.server.repos:
                return self.answer(409, address | {"error": "You already created this dataset repo"})
            private = wish.get("visibility") == "private" or bool(wish.get("private"))  # by the client's age
            self.server.new_repo(name, private)
        return self.answer(200, address)

    def with_repo(self, user: str | None, path: str, data: bytes) -> None:
        api = path.startswith("/api/datasets/")
        words = path.removeprefix("/api").removeprefix("/datasets/").split("/")
        name = "/".join(words[:2]).removesuffix(".git")
        verb, rest = (words[2] if len(words) > 2 else ""), [unquote(word) for word in words[3:]]
        repo = self.server.repos.get(name)
        if repo is None or (repo.private and user != name.split("/")[0]):
            return self.refuse(404 if user else 401, "Repository not found", "RepoNotFound")
        writes = verb in ("preupload", "commit", "branch") or verb == "info"
        if writes and user is None:
            return self.refuse(401, "Invalid username or password.")
        if writes and user != name.split("/")[0]:
            return self.refuse(403, f"Forbidden: you don't have write access to {name}")
        if verb == "info":
            return self.batch(json.loads(data))
        if verb == "branch":
            return self.create_branch(repo, rest[0], json.loads(data or b"{}"))
        if verb == "refs":
            branches = [
                {"name": b, "ref": f"refs/heads/{b}", "targetCommit": c[-1].sha} for b, c in repo.branches.items()
            ]
            return self.answer(200, {"branches": branches, "converts": [], "tags": []})
        commit = repo.find(rest[0] if rest else "main")
        if commit is None:
            return self.refuse(404, f"Invalid rev id: {rest[0]}", "RevisionNotFound")
        if api and verb in ("", "revision"):
            return self.answer(200, self.info(name, repo, commit))
        if verb == "tree":
            return self.tree(commit, "/".join(rest[1:]))
        if verb == "paths-info":
            wanted = json.loads(data)["paths"] if data.startswith(b"{") else parse_qs(data.decode()).get("paths", [])
            return self.answer(200, [self.entry(commit, p) for p in wanted if p in commit.files])
        if verb == "preupload":
            return self.preupload(commit, json.loads(data))
        if verb == "commit":
            return self.commit(name, repo, rest[0], data)
        if verb == "resolve":
            return self.resolve(commit, "/".join(rest[1:]))
        return self.refuse(404, f"no such address: {path}")

    def info(self, name: str, repo: Repo, commit: Commit) -> dict[str, Any]:
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        return {"_id": "0", "id": name, "sha": commit.sha, "private": repo.private, "gated": False, "disabled": False,
                "tags": [], "downloads": 0, "likes": 0, "siblings": siblings}  # fmt: skip

    def create_branch(self, repo: Repo, branch: str, wish: dict[str, Any]) -> None:
        if branch in repo.branches:
            return self.refuse(409, "Reference already exists")
        start = repo.find(wish.get("startingPoint") or "main")
        if start is None:
            return self.refuse(404, "Invalid rev id", "RevisionNotFound")
        repo.branches[branch] = [start]
        return self.answer(200, {})

    # ------------------------------------------------------------------ files
    def entry(self, commit: Commit, path: str) -> dict[str, Any]:
        data = commit.files[path]
        row: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": git_blob_id(data)}
        if path in commit.large:
            row["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return row

    def tree(self, commit: Commit, folder: str) -> None:
        prefix = f"{folder}/" if folder else ""
        inside = [path for path in sorted(commit.files) if path.startswith(prefix)]
        if folder and not inside:
            return self.refuse(404, f"{folder} does not exist", "EntryNotFound")
        deep = self.query.get("recursive", ["false"])[0].lower() == "true"
        files = [self.entry(commit, p) for p in inside if deep or "/" not in p[len(prefix) :]]
        folders = {p[: p.index("/", len(prefix))] for p in inside if "/" in p[len(prefix) :]}
        return self.answer(
            200, [{"type": "directory", "path": f, "oid": "0" * 40, "size": 0} for f in sorted(folders)] + files
        )

    def preupload(self, commit: Commit, wish: dict[str, Any]) -> None:
        def mode(file: dict[str, Any]) -> str:
            return "lfs" if file["path"].endswith((".parquet", ".mp4", ".npz", ".safetensors")) else "regular"

        rows = [{"path": f["path"], "uploadMode": mode(f), "shouldIgnore": False} for f in wish["files"]]
        self.answer(200, {"files": rows})

    def batch(self, wish: dict[str, Any]) -> None:
        def offer(item: dict[str, Any]) -> dict[str, Any]:
            row = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.server.large:
                row["actions"] = {"upload": {"href": f"{self.server.url}/lfs/{item['oid']}"}}
            return row

        self.answer(200, {"transfer": "basic", "objects": [offer(item) for item in wish["objects"]]})

    def store_large(self, oid: str, data: bytes) -> None:
        time.sleep(self.server.put_seconds)
        if hashlib.sha256(data).hexdigest() != oid:
            return self.refuse(400, "the bytes are not those announced")
        if not self.server.keep_large(oid, data):
            self.close_connection = True
            return self.refuse(400, "the upload was broken off")
        return self.answer(200)

    def commit(self, name: str, repo: Repo, branch: str, data: bytes) -> None:
        lines = [json.loads(line) for line in data.splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        with self.server.lock:
            if branch not in repo.branches:
                return self.refuse(404, f"Invalid rev id: {branch}", "RevisionNotFound")
            last = repo.branches[branch][-1]
            if header.get("parentCommit") not in (None, last.sha):
                return self.refuse(412, "A commit has happened since. Please refresh and try again.")
            files, large = dict(last.files), set(last.large)
            for line in lines:
                self.apply(line["key"], line["value"], files, large)
            made = self.server.new_commit(header["summary"], last.sha, files, frozenset(large))
            repo.branches[branch].append(made)
        address = f"{self.server.url}/datasets/{name}/commit/{made.sha}"
        return self.answer(200, {"success": True, "commitOid": made.sha, "commitUrl": address})

    def apply(self, key: str, value: dict[str, Any], files: dict[str, bytes], large: set[str]) -> None:
        if key == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            files[value["path"]] = self.server.large[value["oid"]]
            large.add(value["path"])
        elif key == "deletedFile":
            del files[value["path"]]

    def resolve(self, commit: Commit, path: str) -> None:
        data = commit.files.get(path)
        if data is None:
            return self.refuse(404, f"{path} does not exist", "EntryNotFound")
        entry = self.entry(commit, path)
        etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
        start, stop = self.wanted_range(len(data))
        part = data[start:stop]
        self.send_response(206 if "Range" in self.headers else 200)
        for header, text in {"ETag": f'"{etag}"', "X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}.items():
            self.send_header(header, text)
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.command == "HEAD":
            return None
        if self.server.cut_downloads and path.endswith(".parquet"):
            self.close_connection = True
            part = part[: len(part) // 2]
        self.wfile.write(part)
        return None

    def wanted_range(self, size: int) -> tuple[int, int]:
        text = self.headers.get("Range", "")
        if not text.startswith("bytes="):
            return 0, size
        first, _, last = text.removeprefix("bytes=").partition("-")
        return int(first or 0), min(size, int(last) + 1) if last else size


def environment(server: HubServer, home: Path, token: str = "hf_ownerownerowner") -> dict[str, str]:
    """The environment of a new process that talks to the local Hub only."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    return kept | {
        "HF_ENDPOINT": server.url, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home / "hf"),
        "HOME": str(home), "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1",
        "PYTHONDONTWRITEBYTECODE": "1", "USE_TORCH": "0",
    }  # fmt: skip
