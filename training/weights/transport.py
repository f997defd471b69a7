"""The transport objective: targets of capacity-constrained optimal transport, distilled into w."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import ot
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from models.importance import ImportanceNetwork, flat_score
from training.errors import TrainingRefused
from training.randomness import step_generator
from training.weights.config import TransportConfig
from training.weights.problem import Pool

DATA_STREAM, NULL_STREAM, FIT_STREAM = 101, 102, 103
MAX_ITERATIONS = 2_000_000
NULL_STEPS = 600
NULL_CHECK_EVERY = 50
NULL_LR = 1e-3


def capped_transport_targets(real: torch.Tensor, fake: torch.Tensor, cap: float, power: int) -> torch.Tensor:
    """Target weights t [N] in [0, cap] with mean 1 of generated rows ``fake`` [N, f] for data ``real`` [n, f].

    The linear program: each real row sends mass 1/n, each fake row takes at most cap/N, cost |x - y|^power. A
    dummy source of mass cap - 1 and zero cost makes it a balanced problem that ``ot.emd`` solves exactly.
    """
    n, rows = len(real), len(fake)
    cost = torch.cdist(real.double(), fake.double()).pow(power).numpy()
    cost = np.vstack([cost, np.zeros((1, rows))])
    sources = np.append(np.full(n, 1 / n), cap - 1)
    sinks = np.full(rows, cap / rows)
    plan = ot.emd(sources, sinks, cost, numItermax=MAX_ITERATIONS)
    return torch.from_numpy(rows * plan[:-1].sum(0)).float()


@dataclass(frozen=True)
class Targets:
    """Latents [n, d] and target weights [n] in [0, cap]."""

    latents: torch.Tensor
    weights: torch.Tensor

    def loss(self, score: torch.Tensor, rows: torch.Tensor, cap: float) -> torch.Tensor:
        """Cross-entropy of cap * sigmoid(score): a proper score, so the fit is the mean target given the latent."""
        return binary_cross_entropy_with_logits(score, self.weights[rows] / cap)


class TransportObjective:
    """Targets from the data and, for null subtraction, an offset learned on the generator against itself.

    With an offset h_null the network is fitted as h + h_null, so that h alone is the difference of the two fits.
    """

    def __init__(
        self, config: TransportConfig, pool: Pool, real: torch.Tensor, network: ImportanceNetwork, seed: int
    ) -> None:
        if network.head != "bounded":
            raise TrainingRefused("the transport objective fits cap * sigmoid(h): use the bounded head")
        self.config, self.cap = config, network.cap
        device = pool.latents.device
        self.targets = solve_programs(config, pool, real, self.cap, (seed, DATA_STREAM))
        self.offset = torch.zeros(len(self.targets.latents), device=device)
        if config.null_subtraction:
            half = len(pool) // 2  # the stand-in data and the rows of the program never share a latent
            rest = Pool(pool.latents[half:], pool.features[half:])
            null = solve_programs(
                config, rest, pool.features[:half], self.cap, (seed, NULL_STREAM), config.held_out_batches + 1
            )
            null_network = fit_null(null, network, config, seed)
            self.offset = null_network.score(self.targets.latents).detach() - flat_score("bounded", self.cap)

    def loss(self, network: ImportanceNetwork, rng: torch.Generator) -> torch.Tensor:
        rows = torch.randint(len(self.offset), (self.config.batch,), generator=rng, device=rng.device)
        return self.targets.loss(network.score(self.targets.latents[rows]) + self.offset[rows], rows, self.cap)


def solve_programs(
    config: TransportConfig, pool: Pool, real: torch.Tensor, cap: float, stream: tuple[int, int], at_least: int = 1
) -> Targets:
    """``config.batches`` independent programs over disjoint rows of the pool (fewer where the pool ends).

    Raises TrainingRefused if the pool is too small for ``at_least`` of them.
    """
    seed, name = stream
    rows_each = config.real_rows * config.ratio
    order = torch.randperm(len(pool), generator=step_generator(seed, name))
    rows = order.split(rows_each)[: min(config.batches, len(pool) // rows_each)]
    if len(rows) < at_least:
        raise TrainingRefused(
            f"{len(pool)} latents make {len(rows)} programs, {at_least} are needed: raise --pool-rows"
        )
    weights = []
    for batch, index in enumerate(tqdm(rows, desc="transport", unit="program", dynamic_ncols=True)):
        pick = torch.randint(len(real), (config.real_rows,), generator=step_generator(seed + name, batch))
        weights.append(capped_transport_targets(real[pick].cpu(), pool.features[index].cpu(), cap, config.power))
    device = pool.latents.device
    return Targets(pool.latents[torch.cat(rows)], torch.cat(weights).to(device))


def fit_null(null: Targets, like: ImportanceNetwork, config: TransportConfig, seed: int) -> ImportanceNetwork:
    """A network like ``like`` (at its flat start) fitted to ``null``; the last programs are held out for stopping."""
    network, best = copy.deepcopy(like), copy.deepcopy(like)
    optimizer = torch.optim.AdamW(network.parameters(), lr=NULL_LR)
    held = config.held_out_batches * config.real_rows * config.ratio
    held_rows = torch.arange(len(null.weights) - held, len(null.weights), device=null.weights.device)
    best_loss = float("inf")
    for step in range(NULL_STEPS):
        rng = step_generator(seed + FIT_STREAM, step, null.weights.device)
        rows = torch.randint(int(held_rows[0]), (config.batch,), generator=rng, device=rng.device)
        loss = null.loss(network.score(null.latents[rows]), rows, like.cap)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % NULL_CHECK_EVERY == 0:
            with torch.no_grad():
                score = float(null.loss(network.score(null.latents[held_rows]), held_rows, like.cap))
            if score < best_loss:
                best_loss = score
                best.load_state_dict(network.state_dict())
    return best
