"""Where the repository lies: `/src` in the container, the clone elsewhere."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PREDICTOR = ROOT / "replicate" / "predict.py"
ENGINE_FILE = ROOT / "engine.txt"  # in an image: what runs safetensors there
CHECKPOINT_FILE = ROOT / "checkpoint.txt"  # in an image: the name of the checkpoint it was built for
