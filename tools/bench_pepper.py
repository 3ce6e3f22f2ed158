"""How long AddPepperNoise takes on a picture of 224 x 224 pixels, against the usual numpy form, in one run.

    python tools/bench_pepper.py

On one thread the forms take turns, some calls in a row each, so that whatever else the machine does meets all alike.
"""
import time
from statistics import median

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from utils.transforms import AddPepperNoise

SIZE, SNR, TURNS, CALLS = 224, 0.9, 20, 25


def usual_form(image: Image.Image, snr: float = SNR) -> Image.Image:
    """Salt and pepper noise as the published code of the original course does it."""
    pixels = np.array(image).copy()
    height, width, channels = pixels.shape
    noise = 1 - snr
    mask = np.random.choice((0, 1, 2), size=(height, width, 1), p=[snr, noise / 2, noise / 2])
    mask = np.repeat(mask, channels, axis=2)
    pixels[mask == 1] = 255
    pixels[mask == 2] = 0
    return Image.fromarray(pixels.astype("uint8")).convert("RGB")


def main() -> None:
    """Measures the forms in one run and prints a table."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    image = torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = v2.functional.to_pil_image(image)
    noise = AddPepperNoise(SNR, p=1.0)
    forms = {"uint8 tensor": (noise, image), "PIL image": (noise, picture), "usual, PIL image": (usual_form, picture)}
    milliseconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(TURNS):
        for name, (form, given) in forms.items():
            for _ in range(CALLS):
                start = time.perf_counter()
                form(given)
                milliseconds[name].append(1e3 * (time.perf_counter() - start))
    torch.set_num_threads(threads)

    print(f"AddPepperNoise: {SIZE} x {SIZE}, snr {SNR}, one thread, {TURNS * CALLS} calls of each")
    row = "{:<17} {:>8} {:>10} {:>9}".format
    print(row("form", "min ms", "median ms", "of usual"))
    usual = median(milliseconds["usual, PIL image"])
    for name, each in milliseconds.items():
        print(row(name, f"{min(each):.3f}", f"{median(each):.3f}", f"{median(each) / usual:.2f}"))


if __name__ == "__main__":
    main()
