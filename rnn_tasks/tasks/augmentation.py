"""Random changes of images of digits that leave them the digits they are."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """What people's hands, pens and cameras do to a digit, drawn anew for each image of a batch.

    Each value says how far a change goes at most, 0 that there is none. Most changes are small: those to either side
    are normal with half of that value as their standard deviation.

    Args:
        rotation: degrees to either side.
        shear: of the upright, as a tangent.
        scale: logarithm of the factor of each side.
        shift: pixels in each direction.
        elastic: standard deviation, in pixels, of the bends at the knots of a 5 x 5 grid.
        stroke: share of the way to strokes wider or thinner by two pixels; of half of the images.
        blur: standard deviation in pixels; of half of the images.
        contrast: logarithm of the factor of the ink, which becomes no blacker than black.
        noise: standard deviation of each pixel, for one in eight images.
        erase: side in pixels of the square that is lost, for one in eight images.
    """

    rotation: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    stroke: float = 0.0
    blur: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}={value}: must be at least 0 and finite")

    def __call__(self, images: Tensor, stream: torch.Generator) -> Tensor:
        """Images [B, H, W], from 0 (paper) to 1 (ink), changed as the stream decides."""
        draw = _Draw(images, stream)
        images = self._bent(images, draw)
        images = self._wider_or_thinner(images, draw)
        images = blurred(images, draw.some(0.5) * draw.below(self.blur))
        images = images * draw.within(self.contrast).exp()
        images = images + draw.some(0.125) * draw.below(self.noise) * draw.normal(*images.shape)
        images = images * ~self._lost(images, draw)
        return images.clamp(0, 1)

    def _bent(self, images: Tensor, draw: "_Draw") -> Tensor:
        knots = draw.normal(len(images), 2, 5, 5) * self.elastic
        return warped(
            images,
            angle=draw.within(math.radians(self.rotation)),
            scale=(draw.within(self.scale).exp(), draw.within(self.scale).exp()),
            shift=(draw.within(self.shift), draw.within(self.shift)),
            shear=draw.within(self.shear),
            bends=F.interpolate(knots, size=images.shape[1:], mode="bicubic", align_corners=False),
        )

    def _wider_or_thinner(self, images: Tensor, draw: "_Draw") -> Tensor:
        which, share = draw.below(1.0), draw.below(self.stroke)
        changed = torch.where(which < 0.25, wider(images), torch.where(which > 0.75, thinner(images), images))
        return images.lerp(changed, share)

    def _lost(self, images: Tensor, draw: "_Draw") -> Tensor:
        side = draw.some(0.125) * draw.below(self.erase)
        return square(images, draw.below(images.shape[2]), draw.below(images.shape[1]), side)


@dataclass
class _Draw:
    """Random numbers for the images [B, ...], drawn on the CPU so that they are the same on every device."""

    images: Tensor
    stream: torch.Generator

    def below(self, high: float) -> Tensor:
        """Uniform from 0 to ``high``: [B, 1, 1]."""
        return (torch.rand(len(self.images), 1, 1, generator=self.stream) * high).to(self.images)

    def within(self, limit: float) -> Tensor:
        """Normal from -limit to limit, which are two standard deviations: [B, 1, 1]."""
        return self.normal(len(self.images), 1, 1).clamp(-2, 2) * limit / 2

    def some(self, share: float) -> Tensor:
        """1 for a share of the images, else 0: [B, 1, 1]."""
        return (self.below(1.0) < share).to(self.images)

    def normal(self, *size: int) -> Tensor:
        return torch.randn(size, generator=self.stream).to(self.images)


def warped(
    images: Tensor,
    angle: Tensor | float = 0.0,
    scale: tuple[Tensor | float, Tensor | float] = (1.0, 1.0),
    shift: tuple[Tensor | float, Tensor | float] = (0.0, 0.0),
    shear: Tensor | float = 0.0,
    bends: Tensor | float = 0.0,
) -> Tensor:
    """Images [B, S, S] turned and stretched about their middle, moved, slanted and bent.

    Args:
        images: from 0 (paper) to 1 (ink).
        angle: radians, clockwise. This and the following are one number for all, or of each [B, 1, 1].
        scale: factors of width and height.
        shift: pixels to the right and down.
        shear: pixels to the left for each pixel down.
        bends: pixels to the left and up by which each point moves, [B, 2, S, S].
    """
    side, one = images.shape[2], images.new_ones(len(images), 1, 1)
    angle = angle * one
    (width, height), (right, down) = scale, shift
    a, b = angle.cos() / width, angle.sin() / width + shear
    c, d = -angle.sin() / height, angle.cos() / height
    rows = (a, b, -(a * right + b * down) * 2 / side), (c, d, -(c * right + d * down) * 2 / side)
    matrices = torch.stack([torch.cat([entry * one for entry in row], 2) for row in rows], 2).squeeze(1)  # [B, 2, 3]
    grid = F.affine_grid(matrices, (len(images), 1, side, side), align_corners=False)  # [B, S, S, 2]
    if torch.is_tensor(bends):
        grid = grid + bends.permute(0, 2, 3, 1) * 2 / side
    return F.grid_sample(images[:, None], grid, align_corners=False)[:, 0]


def square(images: Tensor, x: Tensor, y: Tensor, side: Tensor | float) -> Tensor:
    """Which pixels of images [B, H, W] lie in a square about (x, y), [B, 1, 1] each."""
    rows, columns = (torch.arange(size, device=images.device) + 0.5 for size in images.shape[1:])
    return ((rows[:, None] - y).abs() < side / 2) & ((columns - x).abs() < side / 2)


def wider(images: Tensor) -> Tensor:
    """Strokes wider by a pixel on each side: [B, H, W]."""
    return F.max_pool2d(images, 3, 1, 1)


def thinner(images: Tensor) -> Tensor:
    """Strokes thinner by a pixel on each side: [B, H, W]."""
    return -F.max_pool2d(-images, 3, 1, 1)


def blurred(images: Tensor, deviation: Tensor) -> Tensor:
    """Images [B, H, W], each blurred by a Gaussian of its own standard deviation [B, 1, 1] in pixels."""
    offsets = torch.arange(-4, 5, device=images.device)
    kernels = (-(offsets**2) / (2 * deviation.clamp(min=0.1) ** 2)).exp()
    kernels = kernels / kernels.sum(2, keepdim=True)  # [B, 1, 9]
    rows = F.conv2d(images[None], kernels[:, :, None], padding=(0, 4), groups=len(images))
    return F.conv2d(rows, kernels[..., None], padding=(4, 0), groups=len(images))[0]
