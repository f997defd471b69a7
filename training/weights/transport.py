"""The transport objective: targets of capacity-constrained optimal transport, distilled into w."""

from __future__ import annotations

import copy

import numpy as np
import ot
import torch
from tqdm import tqdm

from models.importance import ImportanceNetwork, flat_score
from training.errors import TrainingRefused
from training.randomness import step_generator
from training.weights.config import TransportConfig
from training.weights.problem import Pool
from training.weights.sinkhorn import sinkhorn_targets
from training.weights.targets import Targets, TargetsObjective

DATA_STREAM, NULL_STREAM, FIT_STREAM = 101, 102, 103
MAX_ITERATIONS = 2_000_000
NULL_STEPS = 600
NULL_CHECK_EVERY = 50
NULL_LR = 1e-3


def exact_targets(cost: torch.Tensor, cap: float) -> torch.Tensor:
    """Target weights t [N] in [0, cap] with mean 1, from ``cost`` [n, N] of each real to each generated row.

    The linear program: each real row sends mass 1/n, each generated row takes at most cap/N. A dummy source of mass
    cap - 1 and zero cost makes it a balanced problem that ``ot.emd`` solves exactly, on the CPU.
    """
    n, rows = cost.shape
    table = np.vstack([cost.double().cpu().numpy(), np.zeros((1, rows))])
    sources = np.append(np.full(n, 1 / n), cap - 1)
    sinks = np.full(rows, cap / rows)
    plan = ot.emd(sources, sinks, table, numItermax=MAX_ITERATIONS)
    return torch.from_numpy(rows * plan[:-1].sum(0)).float()


def transport_targets(
    config: TransportConfig, real: torch.Tensor, fake: torch.Tensor, cap: float, twin: torch.Tensor | None = None
) -> torch.Tensor:
    """Targets of generated rows ``fake`` [N, f] for data ``real`` [n, f], cost |x - y|^power, by ``config.solver``.

    ``twin``: other generated rows, as many as real ones. The cost of a row is then taken relative to its nearest one
    among them: what a finite batch saves on an average-looking row, it saves there as well.
    """
    cost = torch.cdist(real.double(), fake.double()).pow(config.power)
    if twin is not None:
        cost = cost - torch.cdist(twin.double(), fake.double()).amin(0).pow(config.power)
    if config.solver == "sinkhorn":
        return sinkhorn_targets(cost, cap, config.regularisation)
    return exact_targets(cost, cap).to(fake.device)


def transport_objective(
    config: TransportConfig, pool: Pool, real: torch.Tensor, network: ImportanceNetwork, seed: int
) -> TargetsObjective:
    """Targets from the data and, for null subtraction, an offset learned on the generator against itself.

    With an offset h_null the network is fitted as h + h_null, so that h alone is the difference of the two fits.
    """
    if network.head != "bounded":
        raise TrainingRefused("the transport objective fits cap * sigmoid(h): use the bounded head")
    cap = network.cap
    targets = solve_programs(config, pool, real, cap, (seed, DATA_STREAM))
    offset = torch.zeros(len(targets.latents), device=pool.latents.device)
    if config.null_subtraction:
        half = len(pool) // 2  # the stand-in data and the rows of the program never share a latent
        rest, stand_in = Pool(pool.latents[half:], pool.features[half:]), pool.features[:half]
        null = solve_programs(config, rest, stand_in, cap, (seed, NULL_STREAM), config.held_out_batches + 1)
        null_network = fit_null(null, network, config, seed)
        offset = null_network.score(targets.latents).detach() - flat_score("bounded", cap)
    return TargetsObjective(targets, offset, cap, config.batch)


def solve_programs(
    config: TransportConfig, pool: Pool, real: torch.Tensor, cap: float, stream: tuple[int, int], at_least: int = 1
) -> Targets:
    """``config.batches`` independent programs over disjoint rows of the pool (fewer where the pool ends).

    Raises TrainingRefused if the pool is too small for ``at_least`` of them.
    """
    seed, name = stream
    rows_each = config.real_rows * config.ratio
    twin_rows = config.real_rows if config.debiased_cost else 0
    order = torch.randperm(len(pool), generator=step_generator(seed, name))
    blocks = order.split(rows_each + twin_rows)[: min(config.batches, len(pool) // (rows_each + twin_rows))]
    rows = [block[:rows_each] for block in blocks]
    if len(rows) < at_least:
        raise TrainingRefused(
            f"{len(pool)} latents make {len(rows)} programs, {at_least} are needed: raise --pool-rows"
        )
    weights = []
    for batch, block in enumerate(tqdm(blocks, desc="transport", unit="program", dynamic_ncols=True)):
        pick = torch.randint(len(real), (config.real_rows,), generator=step_generator(seed + name, batch))
        features = pool.features[block]
        twin = features[rows_each:] if config.debiased_cost else None
        weights.append(transport_targets(config, real[pick], features[:rows_each], cap, twin))
    return Targets(pool.latents[torch.cat(rows)], torch.cat(weights))


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
