"""How long Grad-CAM takes on a picture of 224 x 224 pixels: utils.cam against the package grad-cam, in one run.

    python tools/bench_cam.py

The package belongs to the extra "bench", which `make bench` installs; the course itself does without it. On one
thread the two take turns, so that whatever else the machine does meets both alike. The networks' weights are random.
"""
import time
from statistics import median

import torch
from torchvision import models

from utils.cam import grad_cam

SIZE, TURNS = 224, 30
TARGETS = (("alexnet", "features.12"), ("resnet18", "layer4.1"))  # in the package's words: features[12], layer4[-1]


def main() -> None:
    """Measures both networks and prints a table."""
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError:
        print("Grad-CAM: the package to compare with is missing; `make bench` installs it where there is a network.")
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randn(1, 3, SIZE, SIZE)

    print(f"Grad-CAM: {SIZE} x {SIZE}, batch 1, one thread, {TURNS} calls of each, median ms")
    row = "{:<9} {:<12} {:>8} {:>9} {:>7} {:>18}".format
    print(row("network", "layer", "utils", "grad-cam", "ratio", "largest difference"))
    for name, layer in TARGETS:
        model = models.get_model(name, weights=None).eval()
        package = GradCAM(model, [model.get_submodule(layer)])
        label = model(images).argmax().item()
        forms = {
            "utils": lambda model=model, layer=layer, label=label: grad_cam(model, images, layer, label),
            "grad-cam": lambda package=package, label=label: package(images, [ClassifierOutputTarget(label)]),
        }
        difference = (forms["utils"]() - torch.from_numpy(forms["grad-cam"]())).abs().max()
        milliseconds: dict[str, list[float]] = {form: [] for form in forms}
        for _ in range(TURNS):
            for form, call in forms.items():
                start = time.perf_counter()
                call()
                milliseconds[form].append(1e3 * (time.perf_counter() - start))
        ours, theirs = (median(each) for each in milliseconds.values())
        print(row(name, layer, f"{ours:.1f}", f"{theirs:.1f}", f"{theirs / ours:.2f}", f"{difference:.0e}"))
    torch.set_num_threads(threads)


if __name__ == "__main__":
    main()
