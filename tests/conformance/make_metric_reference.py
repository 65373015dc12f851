"""Makes metric_reference.npz: what scikit-learn and seqeval say of drawn predictions.

    pip install scikit-learn seqeval
    python tests/conformance/make_metric_reference.py

They are needed for nothing else; the tests read the file.
"""

from pathlib import Path

import numpy as np
import seqeval.metrics as spans  # type: ignore[import-not-found]
from sklearn import metrics  # type: ignore[import-not-found]

OUT = Path(__file__).with_name("metric_reference.npz")
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def classes() -> dict[str, np.ndarray]:
    """Seven classes, of which the last is never true and the sixth never predicted."""
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(200, 7))
    labels = draw.integers(6, size=200)
    logits[np.arange(200), labels] += 1.0
    logits[:, 5] = -9
    found = logits.argmax(axis=1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, found, labels=range(7), zero_division=0)
    return {
        "logits": logits, "labels": labels, "precision": precision, "recall": recall, "f1": f1,
        "confusion": metrics.confusion_matrix(labels, found, labels=range(7)),
        "accuracy": metrics.accuracy_score(labels, found),
        "macro_f1": metrics.f1_score(labels, found, average="macro", zero_division=0),
        "miou": metrics.jaccard_score(labels, found, average="macro", zero_division=0),
        "top3": metrics.top_k_accuracy_score(labels, logits, k=3, labels=range(7)),
    }


def labels() -> dict[str, np.ndarray]:
    """Several labels an example, with ties among the scores."""
    draw = np.random.default_rng(1)
    yes = draw.uniform(size=(150, 4)) < [0.5, 0.2, 0.8, 0.05]
    scores = np.round(draw.normal(size=(150, 4)) + yes, 1)
    found = scores > 0
    return {
        "yes": yes, "scores": scores,
        "map": metrics.average_precision_score(yes, scores, average="macro"),
        "auroc": metrics.roc_auc_score(yes, scores, average="macro"),
        "yes_f1": metrics.f1_score(yes, found, average="macro"),
        "yes_f1_micro": metrics.f1_score(yes, found, average="micro"),
        "exact": metrics.accuracy_score(yes, found),
    }


def numbers() -> dict[str, np.ndarray]:
    """Two numbers an example, far from zero."""
    draw = np.random.default_rng(2)
    wanted = draw.normal(size=(90, 2)) * [1.0, 30.0] + [1000.0, -5.0]
    given = wanted + draw.normal(size=(90, 2)) * [0.5, 10.0]
    return {
        "wanted": wanted, "given": given, "r2": metrics.r2_score(wanted, given),
        "mae": metrics.mean_absolute_error(wanted, given),
        "rmse": np.sqrt(metrics.mean_squared_error(wanted, given)),
    }


def tags() -> dict[str, np.ndarray]:
    """Sentences of ten tags, drawn so that many spans begin without a B."""
    draw = np.random.default_rng(3)
    true = draw.integers(5, size=(40, 10))
    found = np.where(draw.uniform(size=true.shape) < 0.8, true, draw.integers(5, size=true.shape))
    named = [[[TAGS[i] for i in row] for row in rows] for rows in (true, found)]
    return {"tags": np.stack([true, found], axis=1), "span_f1": spans.f1_score(*named),
            "span_precision": spans.precision_score(*named),
            "span_recall": spans.recall_score(*named)}


if __name__ == "__main__":
    np.savez_compressed(OUT, **classes(), **labels(), **numbers(), **tags())
