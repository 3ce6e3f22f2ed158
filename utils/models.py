"""The networks that several chapters use, each written out in the chapter that teaches it."""
import torch
from torch import nn


class LeNet(nn.Module):
    """LeNet for colour images of 32 x 32 pixels; chapter 10 builds it line by line.

    Takes images of shape (N, 3, 32, 32), returns logits of shape (N, num_classes).

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition,
    1998; with ReLU and max pooling in place of the paper's tanh and trainable average pooling.
    """

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.pool = nn.MaxPool2d(kernel_size=2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.flatten(x, start_dim=1)
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


class AlexNet(nn.Module):
    """AlexNet in the form of torchvision, which has no local response normalisation; chapter 11 builds it.

    Takes images of shape (N, 3, H, W), of 63 x 63 pixels or more, usually 224 x 224; returns logits of shape
    (N, num_classes). Its parameters have the names and shapes of torchvision.models.alexnet, so that each loads
    what the other has saved.

    Args:
        num_classes: the number of logits.
        dropout: the probability with which training drops each input of the first two linear layers.

    Source: A. Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014, as implemented in
    torchvision; after A. Krizhevsky, I. Sutskever, G. E. Hinton, ImageNet classification with deep convolutional
    neural networks, 2012.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        pool = {"kernel_size": 3, "stride": 2}
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True), nn.MaxPool2d(**pool),
            nn.Conv2d(64, 192, kernel_size=5, padding=2), nn.ReLU(inplace=True),
            nn.MaxPool2d(**pool),
            nn.Conv2d(192, 384, kernel_size=3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1), nn.ReLU(inplace=True),
            nn.MaxPool2d(**pool),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(output_size=(6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True),
            nn.Dropout(p=dropout), nn.Linear(4096, 4096), nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, start_dim=1))
