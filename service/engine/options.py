"""The engine's dials, each with the reason for its default."""

from __future__ import annotations

from dataclasses import dataclass

from sampling.sampler import MAX_PROPOSALS_PER_SAMPLE
from service.engine.devices import AUTO


@dataclass(frozen=True)
class EngineOptions:
    """``batch_rows``: one generator call, and so the wait of a request for one row beside a large one; None for what
    the generator's arithmetic says (sizing.py).
    ``proposal_block``: rows of one call of w; more save calls, fewer the surplus of a rare request.
    ``queue_requests`` bounds how many requests may wait. ``queue_seconds`` and ``queue_stretch``: under fair sharing a
    request may have to wait for the others so long, and so many times its own device time more; longer, and it is
    refused. A thousand equal requests that share the device all finish at the end: no answer would come in time.
    Parked bulk costs a small request next to nothing, so that is never refused for it.
    ``result_bytes``: what answers that are held whole may come to together; one batch's worth is always taken.
    ``outbox_bytes``: of an answer that streams, what may lie ready for its reader; four batches at least.
    ``devices``: where networks run; ``auto`` alone: every CUDA device, or the CPU where there is none.
    ``loops``: that take turns at each of them: of two, one prepares its batch while the other waits for the device. One
    until a GPU has shown what two are worth (benchmarks.gpu_check); on a CPU there is nothing to wait for.
    ``pool_rows``: latents that are chosen ahead for each model, method and parameters in use.
    ``threads``: torch's, of all loops on the CPU together, None for what the container may use.
    ``trace``: run the generator as one call, a trace, where it gives the same bytes (onecall.py).
    ``max_proposals_per_sample``: a method that needs more, on average over a window, is refused; a thousand
    proposals of the 4x400 w cost what a hundred decoded images do, so no filter that tight is worth its price.
    ``allow_rejected_weights``: serve w that the quality gate rejected; unfiltered samples are better than worse ones.
    """

    batch_rows: int | None = None
    proposal_block: int = 512
    queue_requests: int = 1_024
    queue_seconds: float = 10.0
    queue_stretch: float = 10.0
    result_bytes: int = 2**29
    outbox_bytes: int = 2 * 2**20
    pool_rows: int = 1_024
    devices: tuple[str, ...] = (AUTO,)
    loops: int = 1
    threads: int | None = None
    trace: bool = True
    max_proposals_per_sample: int = MAX_PROPOSALS_PER_SAMPLE
    allow_rejected_weights: bool = False
