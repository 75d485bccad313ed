"""The data set: 1,797 scans of handwritten digits, 8 x 8 pixels each, which scikit-learn ships in its wheel."""

from typing import Any

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def training_half() -> tuple[Any, Any]:
    """Images (n, 64) and digits (n,) to train on."""
    images, _, digits, _ = _halves()
    return images, digits


def evaluation_half() -> tuple[Any, Any]:
    """Images (n, 64) and digits (n,) that no training has seen."""
    _, images, _, digits = _halves()
    return images, digits


def _halves() -> list[Any]:
    data = load_digits()
    halves: list[Any] = train_test_split(data.data, data.target, test_size=0.5, random_state=7, stratify=data.target)
    return halves
