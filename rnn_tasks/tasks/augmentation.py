"""Random changes of images of digits that keep the digit: data augmentation."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rnn_tasks import checks

WIDEST_BLUR = 1.5  # pixels; the Gaussian is cut at 4 pixels to either side


@dataclass(frozen=True)
class Augmentation:
    """Random changes like those by people's hands, pens and cameras, drawn anew for each image of a batch.

    Affine distortions of digits are those of LeCun, Bottou, Bengio and Haffner (1998), elastic ones follow Simard,
    Steinkraus and Platt (2003), with bicubic interpolation of a coarse random field in place of a Gaussian filter;
    erased squares are cutout (DeVries and Taylor 2017).

    Each value is the size of the largest change, and 0 disables the change. Small changes are the most frequent:
    a change to either side is normal with half of its value as standard deviation, clamped to the value.

    Args:
        rotation: degrees to either side.
        shear: tangent of the angle by which upright lines lean to either side.
        scale: logarithm of the factor of width and of height.
        shift: pixels in each direction.
        elastic: standard deviation, in pixels, of the displacements at the knots of a 5 x 5 grid.
        stroke: 1 makes strokes wider or thinner by two pixels, smaller values go a share of that way; half of the
            images.
        blur: standard deviation in pixels; half of the images.
        contrast: logarithm of the factor of the ink, which becomes no blacker than black.
        noise: standard deviation of each pixel; one in eight images.
        erase: side in pixels of the square that is lost; one in eight images.

    Raises:
        ValueError: a value is negative, infinite, no number or larger than it may be.
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
        checks.not_negative(**vars(self))
        checks.require(self.stroke <= 1, "stroke", self.stroke, "at most 1")
        checks.require(self.blur <= WIDEST_BLUR, "blur", self.blur, f"at most {WIDEST_BLUR}")

    def __call__(self, images: Tensor, stream: torch.Generator) -> Tensor:
        """Change images [B, S, S], from 0 (paper) to 1 (ink); ``stream`` alone decides how."""
        random = _Random(images, stream)
        images = self._warp(images, random)
        images = self._change_strokes(images, random)
        images = blurred(images, random.chosen(0.5) * random.uniform(self.blur))
        images = images * random.clamped_normal(self.contrast).exp()
        images = images + random.chosen(0.125) * random.uniform(self.noise) * random.normal(*images.shape)
        images = images * ~self._erased(images, random)
        return images.clamp(0, 1)

    def _warp(self, images: Tensor, random: "_Random") -> Tensor:
        knots = random.normal(len(images), 2, 5, 5) * self.elastic
        return warped(
            images,
            angle=random.clamped_normal(math.radians(self.rotation)),
            scale=(random.clamped_normal(self.scale).exp(), random.clamped_normal(self.scale).exp()),
            shift=(random.clamped_normal(self.shift), random.clamped_normal(self.shift)),
            shear=random.clamped_normal(self.shear),
            bends=F.interpolate(knots, size=images.shape[1:], mode="bicubic", align_corners=False),
        )

    def _change_strokes(self, images: Tensor, random: "_Random") -> Tensor:
        which, share = random.uniform(1.0), random.uniform(self.stroke)
        changed = torch.where(which < 0.25, wider(images), torch.where(which > 0.75, thinner(images), images))
        return images.lerp(changed, share)

    def _erased(self, images: Tensor, random: "_Random") -> Tensor:
        side = random.chosen(0.125) * random.uniform(self.erase)
        return square(images, random.uniform(images.shape[2]), random.uniform(images.shape[1]), side)


@dataclass
class _Random:
    """Random numbers for images [B, ...], drawn on the CPU so that they are the same on every device."""

    images: Tensor
    stream: torch.Generator

    def uniform(self, high: float) -> Tensor:
        """Return from 0 to ``high``: [B, 1, 1]."""
        return (torch.rand(len(self.images), 1, 1, generator=self.stream) * high).to(self.images)

    def clamped_normal(self, limit: float) -> Tensor:
        """Return from -limit to limit, with standard deviation limit / 2: [B, 1, 1]."""
        return self.normal(len(self.images), 1, 1).clamp(-2, 2) * limit / 2

    def chosen(self, share: float) -> Tensor:
        """Return 1 with probability ``share``, else 0: [B, 1, 1]."""
        return (self.uniform(1.0) < share).to(self.images)

    def normal(self, *size: int) -> Tensor:
        """Draw from the standard normal distribution: [*size]."""
        return torch.randn(size, generator=self.stream).to(self.images)


def warped(
    images: Tensor,
    angle: Tensor | float = 0.0,
    scale: tuple[Tensor | float, Tensor | float] = (1.0, 1.0),
    shift: tuple[Tensor | float, Tensor | float] = (0.0, 0.0),
    shear: Tensor | float = 0.0,
    bends: Tensor | float = 0.0,
) -> Tensor:
    """Return images [B, S, S] rotated and scaled about their middle, shifted, sheared and bent.

    Each pixel of the result is taken from the place that the inverse change gives, by bilinear interpolation; places
    outside of the image are paper.

    Args:
        images: from 0 (paper) to 1 (ink).
        angle: radians, clockwise. This and the following values are one number, or [B, 1, 1] for each image its own.
        scale: factors of width and height.
        shift: pixels to the right and down.
        shear: pixels to the left for each pixel down.
        bends: pixels to the left and up by which each point moves, [B, 2, S, S].
    """
    side, ones = images.shape[2], images.new_ones(len(images), 1, 1)
    angle = angle * ones
    (width, height), (right, down) = scale, shift
    a, b = angle.cos() / width, angle.sin() / width + shear
    c, d = -angle.sin() / height, angle.cos() / height
    rows = (a, b, -(a * right + b * down) * 2 / side), (c, d, -(c * right + d * down) * 2 / side)
    matrices = torch.stack([torch.cat([entry * ones for entry in row], 2) for row in rows], 2).squeeze(1)  # [B, 2, 3]
    grid = F.affine_grid(matrices, [len(images), 1, side, side], align_corners=False)  # [B, S, S, 2]
    if torch.is_tensor(bends):
        grid = grid + bends.permute(0, 2, 3, 1) * 2 / side
    return F.grid_sample(images[:, None], grid, align_corners=False)[:, 0]


def square(images: Tensor, x: Tensor, y: Tensor, side: Tensor | float) -> Tensor:
    """Return a mask of the pixels in a square: [B, H, W].

    Args:
        images: [B, H, W].
        x, y: middle of the square, in pixels from the left and upper edge, [B, 1, 1] each.
        side: in pixels, one number or [B, 1, 1].
    """
    rows, columns = (torch.arange(size, device=images.device) + 0.5 for size in images.shape[1:])
    return ((rows[:, None] - y).abs() < side / 2) & ((columns - x).abs() < side / 2)


def wider(images: Tensor) -> Tensor:
    """Return strokes wider by a pixel on each side (dilation): [B, H, W]."""
    return F.max_pool2d(images, 3, 1, 1)


def thinner(images: Tensor) -> Tensor:
    """Return strokes thinner by a pixel on each side (erosion): [B, H, W]."""
    return -F.max_pool2d(-images, 3, 1, 1)


def blurred(images: Tensor, deviation: Tensor) -> Tensor:
    """Return images [B, H, W], each blurred by a Gaussian of its own standard deviation [B, 1, 1] in pixels."""
    offsets = torch.arange(-4, 5, device=images.device)
    kernels = (-(offsets**2) / (2 * deviation.clamp(min=0.1) ** 2)).exp()
    kernels = kernels / kernels.sum(2, keepdim=True)  # [B, 1, 9]
    rows = F.conv2d(images[None], kernels[:, :, None], padding=(0, 4), groups=len(images))
    return F.conv2d(rows, kernels[..., None], padding=(4, 0), groups=len(images))[0]
