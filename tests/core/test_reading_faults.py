"""What reading costs, and whose fault it is when it fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import pytest
from footage import encode, moving_frames

from motionbench import decoder
from motionbench.errors import ReaderError

pytestmark = pytest.mark.minimums

FRAMES = moving_frames()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_few_frames_of_a_large_file_take_little_memory(tmp_path: Path) -> None:
    large = encode(tmp_path / "large.avi", moving_frames(60, 480, 640), codec="rawvideo", pixels="rgb24")
    assert large.stat().st_size > 50 << 20
    code = (
        "import re, sys\nfrom motionbench.video_worker import read\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) << 10\n"
        "read(sys.argv[1], 'auto', 3)\nbefore = peak()\n"
        "frames = read(sys.argv[2], 'auto', 3)[0]\nprint(len(frames), peak() - before)"
    )
    small = encode(tmp_path / "small.avi", moving_frames(4, 480, 640), codec="rawvideo", pixels="rgb24")
    command = [sys.executable, "-c", code, str(small), str(large)]
    count, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(count) == 3
    assert int(grown) < 12 << 20  # a few frames; the file has 53 MiB


def test_an_unexpected_error_is_not_called_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "fine.mp4", FRAMES[:4])
    (tmp_path / "trapped.py").write_text(
        "from motionbench import video_worker as real\n"
        "def probe(path):\n    raise TypeError('a field that this version has not')\n"
        "real.probe = probe\nreal.main()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    trapped = decoder.Decoder(module="trapped")
    with pytest.raises(ReaderError, match="TypeError: a field that this version has not") as caught:
        trapped.decode(path)
    trapped.stop()
    said = str(caught.value)
    assert f"av {av.__version__}" in said
    assert "says nothing about the file" in said
    assert "re-encode" not in said
    assert caught.value.reason == "error"


def test_a_reader_that_cannot_start_is_not_called_a_broken_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "fine.mp4", FRAMES[:4])
    (tmp_path / "missing.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    broken = decoder.Decoder(module="missing")
    with pytest.raises(ReaderError, match="its process ended with exit code 1"):
        broken.decode(path)
