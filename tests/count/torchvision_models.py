"""torchvision's models, for the counts to be held against."""

import torch

from scaling.training.vision import torchvision


def load():
    """Return ``torchvision.models``."""
    return torchvision().models


def vit(shape):
    return load().VisionTransformer(
        shape["image"], shape["patch"], shape["layers"], shape["heads"], shape["width"],
        shape["ffn"], num_classes=shape["classes"],
    )  # fmt: skip


BUILDERS = {18: "resnet18", 34: "resnet34", 50: "resnet50", 101: "resnet101", 152: "resnet152"}


def resnet(shape):
    """Return torchvision's network, or one of its blocks where the width or the stem is not its."""
    models = load()
    if (shape["width"], shape["cifar_stem"], shape["channels"]) == (64, 0, 3):
        return getattr(models, BUILDERS[shape["depth"]])(num_classes=shape["classes"])
    return Narrow(models.resnet, shape)


class Narrow(torch.nn.Module):
    """A network of torchvision's blocks, of any width and with either stem."""

    def __init__(self, resnet, shape):
        super().__init__()
        nn, width = torch.nn, shape["width"]
        block = resnet.BasicBlock if shape["depth"] < 50 else resnet.Bottleneck
        repeats = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3],
                   152: [3, 8, 36, 3]}[shape["depth"]]  # fmt: skip
        if shape["cifar_stem"]:
            self.conv1 = nn.Conv2d(shape["channels"], width, 3, 1, 1, bias=False)
            self.pool = nn.Identity()
        else:
            self.conv1 = nn.Conv2d(shape["channels"], width, 7, 2, 3, bias=False)
            self.pool = nn.MaxPool2d(3, 2, 1)
        self.bn1 = nn.BatchNorm2d(width)
        layers, inputs = [], width
        for stage in range(4):
            planes = width << stage
            for index in range(repeats[stage]):
                stride = 2 if stage and not index else 1
                down = None
                if stride == 2 or inputs != planes * block.expansion:
                    down = nn.Sequential(
                        resnet.conv1x1(inputs, planes * block.expansion, stride),
                        nn.BatchNorm2d(planes * block.expansion),
                    )
                layers.append(block(inputs, planes, stride, down))
                inputs = planes * block.expansion
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(inputs, shape["classes"])

    def forward(self, x):
        x = self.pool(self.bn1(self.conv1(x)).relu())
        return self.fc(self.layers(x).mean(dim=(2, 3)))


def vgg(shape):
    """Return torchvision's network, of published width and with the published classifier."""
    name = f"vgg{shape['depth']}_bn"
    assert (shape["width"], shape["full"], shape["channels"]) == (64, 1, 3)
    return getattr(load(), name)(num_classes=shape["classes"])


def mobilenet(shape):
    """Return torchvision's network; its first layer has stride 2 and 3 channels."""
    assert (shape["cifar_stem"], shape["channels"]) == (0, 3)
    return load().mobilenet_v2(num_classes=shape["classes"], width_mult=shape["width"] / 100)
