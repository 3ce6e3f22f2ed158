"""The transform that chapter 9 writes, for other chapters and for the benchmark."""
from typing import Any

import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2


class AddPepperNoise(v2.Transform):
    """Salt and pepper noise: some pixels turn white or black, in all channels at once.

    Takes what transforms of v2 take, alone or in a sample with boxes and labels, which pass untouched:

    - PIL images of mode "RGB" or "L";
    - tensors of shape (..., height, width), black at 0 and white at 255 for integers, at 1 for floating point
      (so it stands before Normalize). The pictures of one batch, and of one call, get the same noise.

    The input itself is never changed; a call that adds no noise returns it.

    Args:
        snr: share of pixels that are kept, in [0, 1]; of the others one half turns black, one half white.
        p: probability that a call adds noise at all, in [0, 1].

    Raises:
        ValueError: snr or p lies outside [0, 1].
    """

    def __init__(self, snr: float, p: float = 0.9) -> None:
        super().__init__()
        if not (0 <= snr <= 1 and 0 <= p <= 1):
            raise ValueError(f"snr={snr} and p={p} must lie in [0, 1].")
        self.snr, self.p = snr, p

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        if torch.rand(()) >= self.p:
            return {"keep": None}
        height, width = v2.query_size(flat_inputs)
        chance = torch.rand(height, width)  # one draw a pixel decides between the three
        return {"keep": chance < self.snr, "salt": chance >= (1 + self.snr) / 2}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        no_picture = (tv_tensors.BoundingBoxes, tv_tensors.KeyPoints, tv_tensors.Mask)
        if params["keep"] is None or isinstance(inpt, no_picture):
            return inpt
        keep, salt = params["keep"], params["salt"]
        if isinstance(inpt, torch.Tensor):
            white = 1 if inpt.is_floating_point() else 255
            # masks of the picture's own dtype: a product is far faster than torch.where
            noisy = inpt * keep.to(inpt) + salt.to(inpt) * white
            return tv_tensors.wrap(noisy, like=inpt)
        noisy = inpt.copy()
        for mask, level in ((~keep, 0), (salt, 255)):
            colour = (level,) * len(noisy.getbands())
            noisy.paste(colour, mask=Image.fromarray(mask.numpy()))
        return noisy
