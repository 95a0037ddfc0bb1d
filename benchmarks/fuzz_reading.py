"""Damaged videos through the reader: nothing may crash it, hang, or be accepted with a wrong number of frames.

python benchmarks/fuzz_reading.py [--count 1000] [--seed 0] [--keep FOLDER]

Videos of 12 containers and codecs are mutated (bytes, bits, runs of zeros, pieces cut out, doubled or exchanged, the
end cut off). One that is accepted must have as many frames as the whole video, or as the ffmpeg program shows of the
mutated one: a byte of an edit list, say, rightly changes how many are shown. Exits 1 on any fault.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from motionbench.decoder import Decoder
from motionbench.errors import ReaderError, VideoError

FRAMES, HEIGHT, WIDTH, RATE = 24, 48, 64, 25
LONGEST = 5.0  # seconds for one file
GOP = "keyint=8:min-keyint=8:scenecut=0:asm=0"  # x264's assembly is not deterministic
KINDS = {  # name: codec, options
    "h264.mp4": ("libx264", {"x264-params": f"{GOP}:bframes=2"}),
    "open.mov": ("libx264", {"x264-params": f"{GOP}:bframes=3:open-gop=1"}),
    "hevc.mp4": ("libx265", {"x265-params": f"log-level=none:{GOP}"}),
    "h264.mkv": ("libx264", {"x264-params": f"{GOP}:bframes=2"}),
    "vp9.webm": ("libvpx-vp9", {"g": "8", "deadline": "realtime", "cpu-used": "8"}),
    "vp8.webm": ("libvpx", {"g": "8", "deadline": "realtime", "cpu-used": "8"}),
    "mpeg4.avi": ("mpeg4", {"g": "8", "bf": "2"}),
    "mjpeg.avi": ("mjpeg", {"color_range": "pc"}),
    "h264.ts": ("libx264", {"x264-params": f"{GOP}:bframes=2"}),
    "mpeg2.ts": ("mpeg2video", {"g": "8", "bf": "2"}),
    "flv1.flv": ("flv", {"g": "8"}),
    "small.gif": ("gif", {}),
}
PIXELS = {"gif": "rgb8", "mjpeg": "yuvj420p"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that show a fault")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        outcomes, slowest = fuzz(Path(temporary), options.count, options.seed, options.keep)
    print(f"{options.count} mutated videos of {len(KINDS)} kinds, seed {options.seed}, PyAV {av.__version__}")
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{kind:10} {outcome:32} {count:5}")
    total: Counter[str] = Counter()
    for (_, outcome), count in outcomes.items():
        total[outcome] += count
    print(*(f"all        {outcome:32} {count:5}" for outcome, count in sorted(total.items())), sep="\n")
    print(f"slowest: {slowest:.2f} s")
    sys.exit(any(outcome.startswith("FAULT") for outcome in total))


def fuzz(folder: Path, count: int, seed: int, keep: Path | None = None) -> tuple[Counter[tuple[str, str]], float]:
    """Outcomes by kind of `count` mutated videos, and the seconds that the slowest took."""
    decoder, outcomes, slowest = Decoder(seconds=LONGEST), Counter[tuple[str, str]](), 0.0
    for name, data in mutants(folder, count, seed):
        path = folder / f"mutant.{name.rpartition('.')[2]}"
        path.write_bytes(data)
        start = time.monotonic()
        outcome = read(decoder, path)
        slowest = max(slowest, time.monotonic() - start)
        outcomes[name, outcome] += 1
        if keep is not None and outcome.startswith("FAULT"):
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, keep / f"{sum(outcomes.values()):04}-{name}")
    decoder.stop()
    return outcomes, slowest


def mutants(folder: Path, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """(kind, bytes) of mutated videos, the kinds in turn."""
    rng = np.random.default_rng(seed)
    whole = {name: make(folder / name) for name in KINDS}
    for number in range(count):
        name = list(KINDS)[number % len(KINDS)]
        yield name, mutate(whole[name], rng)


def make(path: Path) -> bytes:
    """A small video of the kind that its name says: blocks that move 2 pixels a frame."""
    codec, options = KINDS[path.name]
    blocks = np.random.default_rng(0).integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as file:  # the same bytes each time
        stream = file.add_stream(codec, rate=RATE, options={"flags": "+bitexact", **options})
        stream.thread_count = 1
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, PIXELS.get(codec, "yuv420p")
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(blocks, 2 * number, 1)), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path.read_bytes()


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one to four mutations, half of them in the first kilobyte, where headers are."""
    made: NDArray[np.uint8] = np.frombuffer(data, np.uint8).copy()
    for _ in range(rng.integers(1, 5)):
        end = len(made) if rng.random() < 0.5 else min(len(made), 1024)
        at, long = int(rng.integers(0, end)), int(2 ** rng.uniform(0, 10))
        piece = made[at : at + long]
        kind = rng.integers(0, 7)
        if kind == 0:
            made[at] = rng.integers(0, 256)
        elif kind == 1:
            made[at] ^= 1 << rng.integers(0, 8)
        elif kind == 2:
            piece[:] = 0
        elif kind == 3:
            piece[:] = rng.integers(0, 256, len(piece))
        elif kind == 4:
            made = np.concatenate([made[:at], made[at + long :]])
        elif kind == 5:
            made = np.concatenate([made[:at], piece, made[at:]])
        else:
            made = made[: max(64, len(made) - long)]
    return made.tobytes()


def read(decoder: Decoder, path: Path) -> str:
    """What came of reading a file, in a word."""
    try:
        frames = len(decoder.decode(path).pixels)
    except ReaderError:
        return "FAULT: unexpected error"
    except VideoError as error:
        if "ended by signal" in str(error):
            return "FAULT: crash"
        return "FAULT: hang" if "gave no answer" in str(error) else "refused"
    if frames == FRAMES:
        return "accepted whole"
    shown = player_frames(path)
    if shown is None:
        return "accepted, no ffmpeg to compare"
    return "accepted as ffmpeg shows it" if frames in shown else "FAULT: wrong number of frames"


def player_frames(path: Path) -> range | None:
    """How many frames a player may show; None where there is no ffmpeg (its ffprobe).

    Versions of FFmpeg differ in whether they show what stands before the first keyframe: it is left open here.
    """
    program = shutil.which("ffprobe")
    if program is None:
        return None
    words = ["-v", "quiet", "-select_streams", "v:0", "-show_entries", "frame=key_frame", "-of", "csv=p=0", str(path)]
    try:
        lines = subprocess.run([program, *words], capture_output=True, timeout=60, check=False).stdout.split()
    except subprocess.TimeoutExpired:
        return range(0)
    keys = [number for number, line in enumerate(lines) if line.startswith(b"1")]
    return range(len(lines) - (keys[0] if keys else 0), len(lines) + 1)


if __name__ == "__main__":
    main()
