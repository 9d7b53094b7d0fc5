"""An uploaded checkpoint -> named tensors, or one CheckpointError. Loads without torch."""

from app.checkpoints.checkpoint import AdamState, Checkpoint, Moments
from app.checkpoints.errors import CheckpointError
from app.checkpoints.reader import read_checkpoint

__all__ = ["AdamState", "Checkpoint", "CheckpointError", "Moments", "read_checkpoint"]
