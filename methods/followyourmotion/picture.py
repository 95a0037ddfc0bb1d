"""The head map as a picture: layers by heads, colored by the ratio of the two similarities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motionbench.errors import ConfigError, StoreError
from motionbench.files import write_atomically

CELL = 30  # pixels
MARGIN = 46
TEMPORAL, NEUTRAL, SPATIAL = (44, 91, 169), (245, 245, 240), (196, 78, 44)  # RGB ends and middle of the color scale


def head_ratio(spatial: NDArray[np.float64], temporal: NDArray[np.float64], boundary: float) -> NDArray[np.float64]:
    """(L, K) log2 of spatial / (boundary * temporal), cut to [-3, 3]: negative where the rule says temporal."""
    tiny = np.finfo(np.float64).tiny
    ratio = np.log2(np.maximum(spatial, tiny)) - np.log2(np.maximum(boundary * temporal, tiny))
    return np.asarray(np.clip(ratio, -3, 3))


def ratio_to_colors(ratio: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(..., 3) RGB of log ratios in [-3, 3]: blue for temporal, orange for spatial, pale where undecided."""
    share = np.clip(np.abs(ratio) / 3, 0, 1)[..., None]
    ends = np.where(ratio[..., None] < 0, np.array(TEMPORAL), np.array(SPATIAL))
    return np.asarray(np.round((1 - share) * np.array(NEUTRAL) + share * ends), np.uint8)


def draw_heads(ratio: NDArray[np.float64], temporal: NDArray[np.bool_], title: str) -> NDArray[np.uint8]:
    """RGB picture (H, W, 3) of the map: one cell a head, S or T in it, layers downwards."""
    import cv2

    layers, heads = ratio.shape
    width = max(MARGIN + heads * CELL + 10, 9 * len(title) + 20)
    picture = np.full((MARGIN + layers * CELL + 10, width, 3), 255, np.uint8)
    cells = ratio_to_colors(ratio).repeat(CELL, 0).repeat(CELL, 1)
    picture[MARGIN : MARGIN + layers * CELL, MARGIN : MARGIN + heads * CELL] = cells

    def write(text: str, x: int, y: int, scale: float = 0.4) -> None:
        cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (30, 30, 30), 1, cv2.LINE_AA)

    write(title, 8, 16, 0.45)
    for layer in range(layers):
        write(str(layer), 12, MARGIN + layer * CELL + 20)
        for head in range(heads):
            write("T" if temporal[layer, head] else "S", MARGIN + head * CELL + 10, MARGIN + layer * CELL + 20)
    for head in range(heads):
        write(str(head), MARGIN + head * CELL + 8, MARGIN - 8)
    return picture


def plot_heads(ratio: NDArray[np.float64], temporal: NDArray[np.bool_], title: str) -> str:
    """A self-contained HTML page with the map; hovering shows layer, head and ratio."""
    import plotly.graph_objects as go

    colors = [[i / 6, "rgb({},{},{})".format(*ratio_to_colors(np.array(float(i - 3))))] for i in range(7)]
    figure: Any = go.Figure(
        go.Heatmap(
            z=ratio,
            zmin=-3,
            zmax=3,
            colorscale=colors,
            text=np.where(temporal, "T", "S"),
            texttemplate="%{text}",
            colorbar={"title": "log2 spatial / (boundary x temporal)"},
            hovertemplate="layer %{y}, head %{x}: %{z:.2f}<extra></extra>",
        )
    )
    figure.update_layout(title=title, xaxis_title="head", yaxis_title="layer", yaxis_autorange="reversed")
    return str(figure.to_html(include_plotlyjs=True, full_html=True))


def write_heads(path: Path, ratio: NDArray[np.float64], temporal: NDArray[np.bool_], title: str) -> None:
    """Write the map as `.png` or `.html`. Raises ConfigError for another ending, StoreError if the disk refuses."""
    if path.suffix == ".html":
        write_atomically(path, plot_heads(ratio, temporal, title).encode())
    elif path.suffix == ".png":
        import cv2

        done, data = cv2.imencode(".png", draw_heads(ratio, temporal, title)[..., ::-1])
        if not done:
            raise StoreError(f"cannot encode {path} as PNG")
        write_atomically(path, data.tobytes())
    else:
        raise ConfigError(f"--out must end in .png or .html, got {path}")
