"""A bank of pictures and things on the device that other processes keep filling while training goes on."""

from __future__ import annotations

import multiprocessing

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .noise import HEIGHT, WIDTH
from .pictures import make_picture
from .scenes import BLURS, Bank
from .sprites import SIDE, make_sprite

SPRITES = 4  # made with each picture

Made = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def make_pair(seed: int) -> Made:
    """A picture (HEIGHT, WIDTH, 3) and SPRITES things (SPRITES, SIDE, SIDE, 4), the same for the same seed."""
    cv2.setNumThreads(1)
    return make_picture(seed), np.stack([make_sprite(seed * SPRITES + i) for i in range(SPRITES)])


def blurred(sprites: Tensor) -> list[Tensor]:
    """Sprites (K, 4, s, s) uint8 in BLURS versions, each softened twice as far as the one before."""
    levels = [sprites.float()]
    for power in range(1, BLURS):
        small = F.avg_pool2d(levels[0], 2**power)
        levels.append(F.interpolate(small, scale_factor=float(2**power), mode="bilinear"))
    return [level.round().clamp(0, 255).byte() for level in levels]


class GrowingBank:
    """The bank of `pictures` places, filled by `processes` from seed `first` on; the oldest make way for the newest."""

    def __init__(self, device: str, pictures: int, processes: int, first: int) -> None:
        self.device, self.places, self.made = device, pictures, 0
        self.pictures = torch.zeros(pictures, 3, HEIGHT, WIDTH, dtype=torch.uint8, device=device)
        self.levels = torch.zeros(BLURS, pictures * SPRITES, 4, SIDE, SIDE, dtype=torch.uint8, device=device)
        self._pool = multiprocessing.get_context("spawn").Pool(processes)
        self._next, self._ahead = first, [self._pool.apply_async(make_pair, (first + i,)) for i in range(processes * 3)]
        self._next += len(self._ahead)

    def collect(self, at_least: int = 0) -> None:
        """Take in what is ready; wait until `at_least` pictures were made."""
        while True:
            ready = [job for job in self._ahead if job.ready()]
            if not ready and self.made < at_least:
                ready = [self._ahead[0]]
            for job in ready:
                self._ahead.remove(job)
                self._take(job.get())
                self._ahead.append(self._pool.apply_async(make_pair, (self._next,)))
                self._next += 1
            if self.made >= at_least:
                return

    def _take(self, made: Made) -> None:
        place = self.made % self.places
        self.pictures[place] = torch.from_numpy(made[0]).permute(2, 0, 1).to(self.device, non_blocking=True)
        sprites = torch.from_numpy(made[1]).permute(0, 3, 1, 2).to(self.device)
        for level, soft in zip(self.levels, blurred(sprites), strict=True):
            level[place * SPRITES : (place + 1) * SPRITES] = soft
        self.made += 1

    def bank(self) -> Bank:
        """What is there now."""
        count = min(self.made, self.places)
        return Bank(self.pictures[:count], self.levels[:, : count * SPRITES].flatten(0, 1))

    def close(self) -> None:
        """End the processes."""
        self._pool.terminate()
        self._pool.join()
