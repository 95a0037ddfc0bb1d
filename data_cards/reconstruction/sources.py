"""The user's own download: where its sequences lie, and whether they are what the recipe takes them for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motionbench.case import Category
from motionbench.clip import Clip
from motionbench.errors import VideoError

from .recipe import SETS, Entry

LEAST_OBJECTS = 2  # that a sequence of several objects must have in its first annotation
PLACES = {  # where the frames of a sequence may lie below the folder that the user names
    "davis2017": ("JPEGImages/480p/{}", "DAVIS/JPEGImages/480p/{}", "DAVIS-2017/JPEGImages/480p/{}"),
    "tum_rgbd": ("{}/rgb", "TUM/{}/rgb", "tum_rgbd/{}/rgb"),
}
SUFFIXES = (".jpg", ".png")


@dataclass(frozen=True)
class Sequence:
    """The frames of one entry's sequence, all of them, in order."""

    folder: Path
    files: tuple[Path, ...]

    def taken(self, entry: Entry) -> list[Path]:
        """The files that the entry takes. Raises IndexError if there are too few."""
        return [self.files[index] for index in entry.indices]


def find_sequence(sources: Path, entry: Entry) -> Sequence | None:
    """The frames of an entry's sequence below the user's folder; None if they are not there."""
    for place in PLACES[entry.set]:
        folder = sources / place.format(entry.sequence)
        if folder.is_dir():
            files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
            return Sequence(folder, tuple(files))
    return None


def find_problems(sources: Path, entry: Entry) -> Iterator[str]:
    """What speaks against cutting an entry from this download: missing, short, with gaps, unreadable, other content."""
    sequence = find_sequence(sources, entry)
    if sequence is None:
        yield f"{entry.id}: {SETS[entry.set].title} has no {entry.sequence}; expected {SETS[entry.set].layout}"
        return
    count, needed = len(sequence.files), entry.indices[-1] + 1
    if entry.length is not None and count != entry.length:
        yield f"{entry.id}: {sequence.folder} has {count} frames, its makers list {entry.length}; download it again"
    if count < needed:
        yield f"{entry.id}: {sequence.folder} has {count} frames, {needed} are needed"
        return
    if entry.set == "davis2017":
        yield from find_gaps(entry, sequence)
    for path in (sequence.taken(entry)[0], sequence.taken(entry)[-1]):
        if read_image(path) is None:
            yield f"{entry.id}: {path} cannot be decoded; download it again"
    yield from find_too_few_objects(entry, sequence)


def find_gaps(entry: Entry, sequence: Sequence) -> Iterator[str]:
    """Frames whose number is not the one before plus one: some are missing between them."""
    for index, path in enumerate(sequence.files):
        if path.stem != f"{index:05d}":
            yield f"{entry.id}: {sequence.folder} has {path.name} where {index:05d} should be; frames are missing"
            return


def find_too_few_objects(entry: Entry, sequence: Sequence) -> Iterator[str]:
    """A sequence of several objects whose own annotation, where the user has it, shows fewer than two.

    Annotations of DAVIS 2016, which has the same frames, mark all objects alike, with 255: they do not tell how many.
    """
    if entry.category is not Category.MULTI_OBJECT:
        return
    mask = sequence.folder.parents[1].with_name("Annotations") / "480p" / entry.sequence / "00000.png"
    if entry.set != "davis2017" or not mask.is_file():
        return
    from PIL import Image

    with Image.open(mask) as image:  # an indexed picture: 0 is the background, each object has a number
        labels = set(np.unique(np.asarray(image.convert("L") if image.mode == "1" else image)).tolist()) - {0}
    objects = len(labels - {255})
    if labels != {255} and objects < LEAST_OBJECTS:
        yield f"{entry.id}: {mask} shows {objects} objects, a reference of several needs {LEAST_OBJECTS}"


def read_image(path: Path) -> NDArray[np.uint8] | None:
    """The picture in a file, (H, W, 3) sRGB; None if it cannot be decoded."""
    import cv2

    data = np.frombuffer(path.read_bytes(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    return None if image is None else np.ascontiguousarray(image[:, :, ::-1]).astype(np.uint8)


def read_frames(entry: Entry, sequence: Sequence) -> Clip:
    """The frames that an entry takes, as they are. Raises VideoError for one that is damaged or of another size."""
    images: list[NDArray[np.uint8]] = []
    for path in sequence.taken(entry):
        image = read_image(path)
        if image is None:
            raise VideoError(f"{path}: expected a picture, it cannot be decoded; download {entry.sequence} again")
        if images and image.shape != images[0].shape:
            raise VideoError(f"{path}: expected {images[0].shape}, got {image.shape}; download {entry.sequence} again")
        images.append(image)
    return Clip(np.stack(images), entry.fps)


def hash_source(entry: Entry, sequence: Sequence) -> str:
    """SHA-256 over the files that an entry takes, in order: two users with one hash have the same source."""
    digest = hashlib.sha256()
    for path in sequence.taken(entry):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_camera(entry: Entry, sequence: Sequence) -> dict[str, NDArray[np.float64]] | None:
    """The camera's pose at each frame taken, nearest in time, where the set has them; None otherwise.

    times (T,) seconds; positions (T, 3) meters; quaternions (T, 4) x, y, z, w: of the camera in the room.
    """
    path = sequence.folder.with_name("groundtruth.txt")
    if entry.set != "tum_rgbd" or not path.is_file():
        return None
    table = np.loadtxt(path, comments="#", ndmin=2)
    times = np.array([float(file.stem) for file in sequence.taken(entry)])
    nearest = np.abs(table[:, 0][None] - times[:, None]).argmin(axis=1)
    return {"times": times, "positions": table[nearest, 1:4], "quaternions": table[nearest, 4:8]}
