"""The adversarial objective: Algorithm 1 of Issenhuth et al. 2022 with the sign of the w step corrected."""

from __future__ import annotations

import copy

import torch
from torch import nn

from models.importance import ImportanceNetwork
from training.errors import TrainingRefused
from training.losses import critic_loss, freeze, gradient_penalty
from training.weights.config import AdversarialConfig
from training.weights.problem import Problem

LEAST = 1e-6
"""Divisors are no smaller: equal scores, and weights that are all zero, give no reward rather than NaN."""


def weight_loss(weights: torch.Tensor, scores: torch.Tensor, cap: float, config: AdversarialConfig) -> torch.Tensor:
    """Loss the importance network minimises: - reward + penalties, from weights [n] and critic scores [n].

    "minimum" is the papers' reward mean w (s - min s); Algorithm 1 prints it with the opposite sign, which
    pushes the weight towards the worst samples. "self-normalised" is sum w (s - mean s) / (sum w * std s), so
    that one set of penalties serves every critic. Penalties: (mean w - 1)^2 and the soft clip mean max(0, w - cap)^2.
    """
    if config.reward == "minimum":
        reward = (weights * (scores - scores.min())).mean()
    else:
        scale = weights.sum().clamp(min=LEAST) * scores.std().clamp(min=LEAST)
        reward = (weights * (scores - scores.mean())).sum() / scale
    mean_term = config.mean_penalty * (weights.mean() - 1).square()
    clip_term = config.clip_penalty * (weights - cap).clamp(min=0).square().mean()
    return mean_term + clip_term - reward


class AdversarialObjective:
    """A critic that plays against w; ``critic_step`` and ``loss`` are the two sides of the game."""

    def __init__(self, config: AdversarialConfig, problem: Problem, cap: float) -> None:
        if problem.critic is None:
            raise TrainingRefused("the adversarial objective needs a critic: train the GAN with Winnow, or use energy")
        self.config, self.problem, self.cap = config, problem, cap
        self.critic: nn.Module = copy.deepcopy(problem.critic).requires_grad_(True).train()
        self.optimizer = torch.optim.Adam(self.critic.parameters(), lr=config.lr_critic, betas=config.betas)

    def prepare(self, network: ImportanceNetwork, step: int, rng: torch.Generator) -> None:
        """``n_critic`` critic updates before every ``n_weight``-th w step; ``warm_up`` more before the first."""
        if step % self.config.n_weight == 0:
            for _ in range(self.config.n_critic + (self.config.warm_up if step == 0 else 0)):
                self.critic_step(network, rng)

    def critic_step(self, network: ImportanceNetwork, rng: torch.Generator) -> None:
        """One critic update on fresh data and fresh latents; the weights count as constants."""
        freeze(self.critic, False)
        index = torch.randint(len(self.problem.real), (self.config.batch,), generator=rng, device=rng.device)
        real = self.problem.real.batch(index.cpu()).to(self.problem.device)
        z = self.problem.prior.sample(self.config.batch, rng)
        fake = self.problem.generate(z)
        with torch.no_grad():
            weights = network(z)
            if self.config.reward == "self-normalised":
                weights = weights / weights.mean().clamp(min=LEAST)
        scores = self.critic(torch.cat([real, fake]))
        loss = critic_loss(self.config.loss, scores[: len(real)], scores[len(real) :], weights)
        loss = loss + self.config.penalty * gradient_penalty(self.critic, real, fake, rng)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def loss(self, network: ImportanceNetwork, rng: torch.Generator) -> torch.Tensor:
        """Loss of one w step on fresh latents, scored without gradient."""
        freeze(self.critic)
        z = self.problem.prior.sample(self.config.batch, rng)
        with torch.no_grad():
            scores = self.critic(self.problem.generate(z))
        return weight_loss(network(z), scores, self.cap, self.config)
