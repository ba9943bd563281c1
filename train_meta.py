"""Offline retraining, the same as `transfercast train-meta`.

python train_meta.py --history sqlite:///history.db --out meta
"""

import sys

from transfercast.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train-meta")
    main()
