"""The kit: a page to hand out, whose names tell nothing, and the key that stays with whoever runs the study."""

from __future__ import annotations

import base64
import html
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from motionbench.errors import ConfigError, StoreError
from motionbench.files import write_atomically, write_json
from motionbench.record import now

from ..page import ASSETS as SHARED_ASSETS
from ..payload import json_in_script
from ..privacy import without_paths
from .catches import Catch, make_catches
from .pairing import Pair, Systems, choose_pairs, read_systems

ASSETS = Path(__file__).parent / "assets"
KEY_SCHEMA = 1
KEY, PAGE, MEDIA = "key.json", "page", "media"
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class KitPlan:
    """What to make. questions: in the kit; per_rater: of these, those that one rater is asked; catches: asked of each.

    pass_share: of the catch trials, what a rater must get right to count. embed_megabytes: of video inside the page;
    what is more lies beside it. systems: methods or labels; empty = all that are no controls.
    """

    out: Path
    title: str = "Whose motion is closer?"
    questions: int = 120
    per_rater: int = 40
    catches: int = 6
    pass_share: float = 0.8
    seed: int = 0
    embed_megabytes: float = 32.0
    systems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.questions < 1 or self.per_rater < 1 or self.catches < 0 or not 0 <= self.pass_share <= 1:
            raise ConfigError("questions and per-rater must be at least 1, catches at least 0, pass from 0 to 1")


@dataclass(frozen=True)
class Kit:
    """What was made: counts, and the systems by label."""

    questions: int
    catches: int
    systems: tuple[str, ...]
    embedded: int
    linked: int


@dataclass
class Shelf:
    """Videos under names drawn from a secret: neither the name nor the order tells whose they are."""

    salt: str
    files: dict[str, bytes] = field(default_factory=dict)

    def put(self, data: bytes, role: str) -> str:
        """The name of a video; one and the same for the same bytes in the same role."""
        name = sha256(f"{self.salt}/{role}/{sha256(data).hexdigest()}".encode()).hexdigest()[:16]
        self.files[name] = data
        return name


def make_kit(folders: Sequence[Path], plan: KitPlan) -> Kit:
    """Writes `plan.out/page/` and `plan.out/key.json`. Raises StoreError if a key is there already, ConfigError."""
    if (plan.out / KEY).exists():
        raise StoreError(f"{plan.out / KEY} is there: answers to its page need it; choose another --out, or remove it")
    systems = read_systems(folders, plan.systems)
    pairs = choose_pairs(systems, plan.questions, plan.seed)
    catches = make_catches(systems, plan.catches, plan.seed)
    shelf = Shelf(secrets.token_hex(16))
    questions, key = _questions(systems, pairs, catches, shelf)
    study = sha256(f"{shelf.salt}/study".encode()).hexdigest()[:12]
    embedded, linked = _place(shelf, plan)
    data = {
        "schema": KEY_SCHEMA, "study": study, "title": plan.title, "per_rater": plan.per_rater,
        "questions": questions, "linked": linked,
    }  # fmt: skip
    write_json(plan.out / KEY, _key(plan, systems, folders, study) | {"questions": key})
    write_atomically(plan.out / PAGE / "index.html", assemble(data, embedded).encode())
    return Kit(len(pairs), len(catches), tuple(systems.entries), len(embedded), len(linked))


def _key(plan: KitPlan, systems: Systems, folders: Sequence[Path], study: str) -> dict[str, Any]:
    board = systems.board.key
    plain = {name: value for name, value in asdict(plan).items() if name != "out"}
    return {
        "schema": KEY_SCHEMA, "study": study, "created": now(), "plan": plain, "backbone": board.backbone,
        "split": without_paths(board.split), "split_revision": board.revision,
        "results": [str(folder) for folder in folders], "systems": list(systems.entries),
    }  # fmt: skip


def _questions(
    systems: Systems, pairs: Sequence[Pair], catches: Sequence[Catch], shelf: Shelf
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """What the page holds of each question, ordered by its drawn name, and what the key says of it."""
    cases = systems.split.by_id()
    shown: dict[str, dict[str, Any]] = {}
    key: dict[str, dict[str, Any]] = {}
    blocks: dict[frozenset[str], str] = {}
    for pair in pairs:
        both = {side: systems.video(label, pair.case_id).read_bytes() for side, label in (("a", pair.a), ("b", pair.b))}
        name = _name(shelf, f"{pair.case_id} {pair.a} {pair.b}")
        block = blocks.setdefault(frozenset((pair.a, pair.b)), _name(shelf, f"block {pair.a} {pair.b}"))
        reference = shelf.put(systems.reference(cases[pair.case_id]).read_bytes(), "reference")
        shown[name] = {side: shelf.put(data, "output") for side, data in both.items()}
        shown[name] |= {"id": name, "block": block, "reference": reference}
        records = {side: systems.clips[label][pair.case_id].key for side, label in (("a", pair.a), ("b", pair.b))}
        key[name] = {"case_id": pair.case_id, "a": pair.a, "b": pair.b, "records": records}
    for number, catch in enumerate(catches):
        name = _name(shelf, f"catch {number}")
        right = "ab"[int(name, 16) % 2]
        sides = {right: catch.good, "ba"["ab".index(right)]: catch.bad}
        reference = shelf.put(systems.reference(cases[catch.case_id]).read_bytes(), "reference")
        shown[name] = {side: shelf.put(data, f"catch {number}") for side, data in sides.items()}
        shown[name] |= {"id": name, "block": None, "reference": reference}
        key[name] = {"case_id": catch.case_id, "catch": catch.spoiling, "right": right}
    return [shown[name] for name in sorted(shown)], {name: key[name] for name in sorted(key)}


def _name(shelf: Shelf, text: str) -> str:
    return sha256(f"{shelf.salt}/question/{text}".encode()).hexdigest()[:12]


def _place(shelf: Shelf, plan: KitPlan) -> tuple[dict[str, str], dict[str, str]]:
    """Videos in base64 up to the limit, the addresses of the others, which are written beside the page."""
    embedded, linked, room = {}, {}, plan.embed_megabytes * MEGABYTE
    for name in sorted(shelf.files):
        data = shelf.files[name]
        if len(data) <= room:
            embedded[name] = base64.b64encode(data).decode()
            room -= len(data)
        else:
            write_atomically(plan.out / PAGE / MEDIA / f"{name}.mp4", data)
            linked[name] = f"{MEDIA}/{name}.mp4"
    return embedded, linked


def assemble(data: dict[str, Any], embedded: dict[str, str]) -> str:
    """The page's HTML: it opens from disk and asks nobody for anything."""
    parts = {
        "TITLE": html.escape(data["title"]),
        "STYLES": (SHARED_ASSETS / "style.css").read_text(encoding="utf-8") + _asset("raters.css"),
        "DATA": json_in_script(data),
        "VIDEOS": "\n".join(
            f'<script type="text/plain" id="video-{name}">{text}</script>' for name, text in sorted(embedded.items())
        ),
        "SCRIPT": _asset("order.js") + _asset("raters.js"),
    }
    pieces = _asset("raters.html").split("%%")
    # Odd pieces are names of parts, and what is put in is never looked at again.
    return "".join(parts[piece] if index % 2 else piece for index, piece in enumerate(pieces))


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
