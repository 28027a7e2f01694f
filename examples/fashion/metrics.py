"""Figures that the library does not compute: temperature scaling, distances between sets."""

import numpy as np


def cross_entropy(logits, labels):
    """Mean -log p(y|x), nats."""
    top = logits.max(axis=1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float((log_sum - logits[np.arange(len(labels)), labels]).mean())


def smallest_at(function, low, high, steps=80):
    """Where a function with one minimum in low..high has it, by golden-section search."""
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(steps):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if function(left) < function(right):
            high = right
        else:
            low = left
    return (low + high) / 2


def best_temperature(logits, labels):
    """The T whose softmax(logits / T) has the least cross entropy (Guo et al. 2017)."""
    exact = logits.astype(np.float64)
    return float(np.exp(smallest_at(
        lambda log_t: cross_entropy(exact / np.exp(log_t), labels), np.log(0.01), np.log(100))))


def root(symmetric):
    """The square root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def frechet_distance(a, b):
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of the Gaussians fitted to the rows
    (Heusel et al. 2017).

    Falls with the number of rows, so only distances of equally many rows compare.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root_a = root(cov_a)
    # S_a S_b has the eigenvalues of the symmetric product.
    values = np.linalg.eigvalsh(root_a @ cov_b @ root_a)
    shift = a.mean(axis=0) - b.mean(axis=0)
    squared = (shift @ shift + np.trace(cov_a) + np.trace(cov_b)
               - 2 * np.sqrt(np.maximum(values, 0)).sum())
    return max(float(squared), 0.0)  # rounding


def mean_pair_distance(rows):
    """Mean Euclidean distance of two different rows."""
    rows = rows.astype(np.float64)
    rows = rows - rows.mean(axis=0)  # less cancellation below
    squares = (rows**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0))
    np.fill_diagonal(distances, 0)
    return float(distances.sum() / (len(rows) * (len(rows) - 1)))


def within_class_distance(x, labels):
    """The mean over the classes of mean_pair_distance()."""
    flat = x.reshape(len(x), -1)
    return float(np.mean([mean_pair_distance(flat[labels == c]) for c in np.unique(labels)]))
