"""What the offline programs tell in one line: errors that a user can do something about."""

from __future__ import annotations

from models.bundle import BundleError
from models.registry import ArchitectureError
from sampling.draw import RejectionStalled
from training.checkpoint import CheckpointError
from training.data.dataset import DataError
from training.errors import TrainingRefused

EXPECTED = (ArchitectureError, BundleError, CheckpointError, DataError, RejectionStalled, TrainingRefused)
