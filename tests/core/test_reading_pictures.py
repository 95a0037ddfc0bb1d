"""Pictures are those of a player: square pixels, upright, in its colors; compared with the ffmpeg program."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from footage import encode, hdr_card, moving_frames, place, player_frames

from motionbench.errors import VideoError
from motionbench.reading.hdr import light_to_pq, pq_to_light, to_sdr
from motionbench.video import read_clip

pytestmark = pytest.mark.minimums

FRAMES = moving_frames()


@pytest.mark.parametrize(
    ("name", "codec", "aspect", "size", "scale"),
    [
        ("wide.mp4", "libx264", Fraction(32, 27), (72, 128), "iw*sar:ih"),
        ("high.mkv", "libx264", Fraction(8, 9), (81, 108), "iw:ih/sar"),
        ("wide.ts", "mpeg2video", Fraction(32, 27), (72, 128), "iw*sar:ih"),
    ],
)
def test_pixels_are_square(
    tmp_path: Path, name: str, codec: str, aspect: Fraction, size: tuple[int, int], scale: str
) -> None:
    path = encode(tmp_path / name, moving_frames(8, 72, 108), codec=codec, rate=25, aspect=aspect)
    clip = read_clip(path)
    assert clip.frames.shape[1:3] == size
    shown = player_frames(path, f"scale={scale}:flags=bicubic", "setsar=1")
    assert np.abs(clip.frames.astype(int) - shown).mean() < 8  # it scales first and then makes it RGB


@pytest.mark.parametrize("matrix", [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)])
@pytest.mark.parametrize("crossed", [False, True])
def test_display_matrices_turn_and_mirror(tmp_path: Path, matrix: tuple[int, int, int, int], crossed: bool) -> None:
    a, _, _, d = matrix
    plain = encode(tmp_path / "plain.mp4", FRAMES[:4])
    path = place(plain, tmp_path / "placed.mp4", *((0, a, d, 0) if crossed else matrix))
    np.testing.assert_array_equal(read_clip(path).frames, player_frames(path))


def test_other_turns_are_refused_with_the_angle(tmp_path: Path) -> None:
    plain = encode(tmp_path / "plain.mp4", FRAMES[:4])
    with pytest.raises(VideoError, match="turned by 45 degrees"):
        read_clip(place(plain, tmp_path / "placed.mp4", 0.7071, 0.7071, -0.7071, 0.7071))


@pytest.mark.parametrize(
    ("pixels", "tags"),
    [
        ("yuv420p", {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}),
        ("yuvj420p", {"color_range": "pc"}),
        ("yuv444p", {}),
        ("gray", {}),
    ],
)
def test_colors_are_those_of_a_player(tmp_path: Path, pixels: str, tags: dict[str, str]) -> None:
    path = encode(tmp_path / "colors.mp4", FRAMES[:4], pixels=pixels, options=tags)
    np.testing.assert_array_equal(read_clip(path).frames, player_frames(path))


def test_hdr_is_mapped_to_standard_range_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Below the knee (86 cd/m2) light stays as it is: gray of 50 cd/m2 on a display whose white is 203.
    gray = 255 * (50 / 203) ** (1 / 2.4)
    pq = read_clip(hdr_card(tmp_path / "pq.mp4", "smpte2084", float(light_to_pq(np.array(50.0)))))
    assert pq.frames.astype(float) == pytest.approx(gray, abs=2)
    assert f"{tmp_path / 'pq.mp4'}: its picture is HDR (PQ)" in caplog.text
    scene = (50 / 1000) ** (1 / 1.2)  # BT.2100: a display of 1000 cd/m2 has the system gamma 1.2
    signal = 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073 if scene > 1 / 12 else (3 * scene) ** 0.5
    hlg = read_clip(hdr_card(tmp_path / "hlg.mp4", "arib-std-b67", float(signal)))
    assert hlg.frames.astype(float) == pytest.approx(gray, abs=2)
    assert "HDR (HLG)" in caplog.text


def test_tone_mapping_keeps_order_and_ends_at_white() -> None:
    light = np.array([0.1, 1, 10, 86, 203, 500, 1000, 4000, 10000])
    np.testing.assert_allclose(pq_to_light(light_to_pq(light)), light, rtol=1e-6)
    codes = np.rint(65535 * light_to_pq(light)).astype(np.uint16)
    shown = to_sdr(np.repeat(codes[None, :, None], 3, axis=2), "PQ")[0].astype(int)
    assert (np.diff(shown[:7, 1]) > 0).all()
    assert shown[6:].tolist() == [[255, 255, 255]] * 3
    red = np.array([[[codes[3], 0, 0]]], np.uint16)
    assert to_sdr(red, "PQ")[0, 0].argmax() == 0


def test_interlaced_frames_are_read_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = encode(tmp_path / "fields.mp4", FRAMES, params="tff=1", options={"flags": "+ildct+ilme"})
    assert len(read_clip(path)) == 24
    read_clip(path)
    assert caplog.text.count("its frames are interlaced") == 1  # not each time that it is read


def test_pictures_that_change_their_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    small = encode(tmp_path / "small.ts", FRAMES, rate=25)
    large = encode(tmp_path / "large.ts", moving_frames(24, 128, 192), rate=25)
    other = encode(tmp_path / "other.ts", moving_frames(24, 128, 64), rate=25)
    small.write_bytes(small.read_bytes() + large.read_bytes())
    assert read_clip(small).frames.shape == (48, 64, 96, 3)
    large.write_bytes(large.read_bytes() + other.read_bytes())
    with pytest.raises(VideoError, match="changes from 192x128 to 64x128 at frame 24"):
        read_clip(large)
