"""LogME against hf-dataset-selector's and transformer-ranker's: time, and error of the evidence.

python -m benchmarks.logme --peers PYTHON        last line: {"speedup_hfselect": ..., "speedup_transformer_ranker": ..., ...}

PYTHON is the interpreter of an environment with both peers in it (docs/benchmarks.md); they run there, on the same machine
and threads, case by case in turn with ours. Float64 features, `white` (independent normal) or `encoder` (with the decaying
spectrum and the common offset of embeddings), and labels that a noisy linear map gives. The reference maximises the evidence
over alpha and beta.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from transfercast.features.measures.logme import logme

SEED, TIMES = 0, 9
CASES = tuple((kind, n, 768, classes) for n in (1000, 300) for kind in ("white", "encoder") for classes in (2, 28))
FAST = 1000


def case(kind: str, n: int, d: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) features and (n,) class numbers."""
    rng = np.random.default_rng([SEED, n, d, classes])
    features = rng.normal(size=(n, d))
    if kind == "encoder":
        basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
        features = (features * np.arange(1, d + 1) ** -0.5) @ basis + rng.normal(size=d)
    centred = (features - features.mean(0)) / features.std()
    logits = centred @ rng.normal(size=(d, classes)) / np.sqrt(d) + rng.gumbel(size=(n, classes))
    return features, logits.argmax(1)


def direct(features: np.ndarray, labels: np.ndarray) -> float:
    """The mean over classes of the largest log evidence per sample, found over log alpha and log beta from 25 starts."""
    n, d = features.shape
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    eigenvalues = singular**2
    found = []
    for one in np.unique(labels):
        y = (labels == one).astype(float)
        inside = (left.T @ y) ** 2
        outside = y @ y - inside.sum()

        def loss(point: np.ndarray, inside: np.ndarray = inside, outside: float = outside) -> float:
            log_alpha, log_beta = point
            alpha, beta = np.exp(log_alpha), np.exp(log_beta)
            shrunk = alpha + beta * eigenvalues
            length = (beta**2 * eigenvalues * inside / shrunk**2).sum()
            error = (inside * (alpha / shrunk) ** 2).sum() + outside
            log_det = np.log(shrunk).sum() + (d - len(eigenvalues)) * log_alpha
            evidence = d * log_alpha + n * log_beta - log_det - beta * error - alpha * length - n * np.log(2 * np.pi)
            return -evidence / (2 * n)

        starts = [(a, b) for a in (-6.0, -2.0, 2.0, 6.0, 10.0) for b in (-2.0, 0.0, 2.0, 4.0, 6.0)]
        rough = min((minimize(loss, start, method="L-BFGS-B", bounds=[(-20, 30)] * 2) for start in starts), key=lambda f: f.fun)
        fine = minimize(loss, rough.x, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 2000})
        found.append(-fine.fun)
    return float(np.mean(found))


def ours(features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Median seconds, and the value."""
    value, taken = logme(features, labels), []
    for _ in range(TIMES):
        started = time.perf_counter()
        logme(features, labels)
        taken.append(time.perf_counter() - started)
    return float(np.median(taken)), value


def theirs(python: Path, job: str, **given: Any) -> dict[str, Any]:
    """One job of benchmarks/peers.py, run in the peers' environment."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "given.npz", Path(folder) / "out.json"
        np.savez(source, **given)
        script = Path(__file__).with_name("peers.py")
        done = subprocess.run([python, str(script), job, str(source), str(out)], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError(f"{job} failed in the peers' environment:\n{done.stderr[-2000:]}")
        return dict(json.loads(out.read_text()))


def main() -> None:
    """Time and compare every case, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="python with both peers installed")
    peers = parser.parse_args().peers
    names = ("hf-dataset-selector", "transformer-ranker")
    faster: dict[str, list[float]] = {name: [] for name in names}
    error, versions = 0.0, {}
    for kind, n, d, classes in CASES:
        features, labels = case(kind, n, d, classes)
        taken, value = ours(features, labels)
        found = theirs(peers, "logme", features=features, labels=labels)
        reference = direct(features, labels)
        error, versions = max(error, abs(value - reference)), found.pop("versions")
        print(f"{kind}, {n} x {d}, {classes} classes: evidence {reference:.9f}")
        print(f"    ours: {1e3 * taken:.1f} ms, off by {value - reference:.1e}")
        for name in names:
            seconds, score = found[name]
            print(f"    {name}: {1e3 * seconds:.1f} ms ({seconds / taken:.1f}x ours), off by {score - reference:.1e}")
            if n == FAST:
                faster[name].append(seconds / taken)
    print(f"speedups below: the smallest at {FAST} x 768; error: the largest of all cases")
    told = {
        "speedup_hfselect": round(min(faster[names[0]]), 2), "speedup_transformer_ranker": round(min(faster[names[1]]), 2),
        "evidence_error": float(f"{error:.1e}"), "seed": SEED, "cores": os.cpu_count(),
        "versions": {**versions, "ours": {name: version(name) for name in ("numpy", "scipy")}},
    }  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main()
