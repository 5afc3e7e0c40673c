"""Make crates/srm-eval/fixtures/scores.json: small feature sets with their scores, computed by other ways than srm's.

    python scripts/make_eval_fixture.py

Needs numpy and scipy. Fréchet distance: scipy.linalg.sqrtm of the product of the covariances where they have full rank, and
the nuclear norm of L1' L2 (covariance = L L', L the centred rows) where they have not, which needs no square root of a
singular matrix. Kernel distance, inception score, precision and recall: loops over pairs, as their papers write them.
"""

import json
import pathlib

import numpy as np
from scipy import linalg


def frechet_sqrtm(x, y):
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(a @ b).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root))


def frechet_nuclear(x, y):
    left = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    right = (y - y.mean(0)) / np.sqrt(len(y) - 1)
    nuclear = linalg.svdvals(left @ right.T).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + (left**2).sum() + (right**2).sum() - 2 * nuclear)


def kernel_distance(x, y):
    n, d = x.shape
    k = lambda a, b: (sum(float(p) * float(q) for p, q in zip(a, b)) / d + 1) ** 3
    within = lambda s: sum(k(s[i], s[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    across = sum(k(a, b) for a in x for b in y) / (n * n)
    return within(x) + within(y) - 2 * across


def inception_score(logits, splits):
    scores = []
    for part in np.array_split(logits, splits):
        p = np.exp(part - part.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        marginal = p.mean(0)
        scores.append(float(np.exp(np.mean([sum(q * np.log(q / m) for q, m in zip(row, marginal)) for row in p]))))
    return float(np.mean(scores)), float(np.std(scores))


def share(points, manifold, k):
    distance = lambda a, b: float(np.sqrt(((a - b) ** 2).sum()))
    radii = [sorted(distance(a, b) for j, b in enumerate(manifold) if j != i)[k - 1] for i, a in enumerate(manifold)]
    return float(np.mean([any(distance(p, m) <= r for m, r in zip(manifold, radii)) for p in points]))


def main():
    rng = np.random.default_rng(5)
    mix = rng.normal(size=(12, 12))
    f32 = lambda a: a.astype(np.float32).astype(np.float64)
    x = f32(rng.normal(size=(40, 12)) @ mix)
    y = f32(rng.normal(size=(40, 12)) @ (mix + 0.4 * rng.normal(size=(12, 12))) + 0.7)
    few_x, few_y = x[:7], y[:9]
    logits = f32(2 * rng.normal(size=(30, 8)))
    assert abs(frechet_sqrtm(x, y) / frechet_nuclear(x, y) - 1) < 1e-9
    score, spread = inception_score(logits, 3)
    fixture = {
        "x": x.tolist(), "y": y.tolist(), "logits": logits.tolist(),
        "frechet": frechet_sqrtm(x, y), "frechet_few": frechet_nuclear(few_x, few_y),
        "frechet_few_against_all": frechet_nuclear(few_x, y), "few": [len(few_x), len(few_y)],
        "kernel_distance": kernel_distance(x, y),
        "inception_score": score, "inception_score_std": spread, "splits": 3,
        "precision": share(y, x, 3), "recall": share(x, y, 3),
    }
    path = pathlib.Path(__file__).parent.parent / "crates/srm-eval/fixtures/scores.json"
    path.write_text(json.dumps(fixture) + "\n")
    print({key: value for key, value in fixture.items() if isinstance(value, float)})


if __name__ == "__main__":
    main()
