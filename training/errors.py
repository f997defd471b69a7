"""What the offline side refuses; the message is one sentence that says what to do."""

from __future__ import annotations


class TrainingRefused(ValueError):
    """Settings, networks or a device that this training cannot work with."""
