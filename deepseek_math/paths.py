"""Where the repository lies: `/src` in the container, the clone elsewhere."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PREDICTOR = ROOT / "replicate" / "predict.py"
