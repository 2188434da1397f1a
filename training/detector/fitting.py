"""The training loop of the two small networks that look at what the first one proposes. Seeded, resumable."""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from train import follow

LOG_EVERY = 100

Net = TypeVar("Net", bound=nn.Module)
Loss = Callable[[Net, np.random.Generator, torch.Generator], Tensor]


def fit(
    net: Net,
    loss_of_batch: Loss[Net],
    place: Path,
    args: argparse.Namespace,
    *,
    save_every: int,
) -> Net:
    """The moving average of the weights after all steps; continues what is there.

    `place` names the files, without a suffix; `loss_of_batch` draws its batch by the generators of a step.
    """
    average = copy.deepcopy(net).eval()
    optimiser = torch.optim.AdamW(net.parameters(), args.rate, weight_decay=0.01)
    kept_at, log_at = place.with_suffix(".pt"), place.with_suffix(".jsonl")
    step, seen, began = 0, [], time.perf_counter()
    if kept_at.exists():
        kept = torch.load(kept_at, weights_only=True)
        step = kept["step"]
        net.load_state_dict(kept["net"]), average.load_state_dict(kept["average"])
        optimiser.load_state_dict(kept["optimiser"])
    first = step
    while step < args.steps:
        rng = np.random.default_rng([args.seed, step])
        torch_rng = torch.Generator().manual_seed(args.seed * 10_000_019 + step)
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / 300)
            group["lr"] = (
                args.rate
                * warm
                * (0.01 + 0.99 * (1 + math.cos(math.pi * step / args.steps)) / 2)
            )
        loss = loss_of_batch(net, rng, torch_rng)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        step += 1
        follow(average, net, min(0.998, (1 + step) / (10 + step)))
        seen.append(float(loss.detach()))
        if step % LOG_EVERY == 0:
            rate = round((step - first) * args.batch / (time.perf_counter() - began))
            with log_at.open("a") as log:
                log.write(
                    json.dumps(
                        {
                            "step": step,
                            "per_s": rate,
                            "loss": round(float(np.mean(seen)), 5),
                        }
                    )
                    + "\n"
                )
            seen.clear()
        if step % save_every == 0 or step == args.steps:
            state = {
                "step": step,
                "net": net.state_dict(),
                "average": average.state_dict(),
            }
            torch.save(
                {**state, "optimiser": optimiser.state_dict()},
                place.with_suffix(".next.pt"),
            )
            place.with_suffix(".next.pt").replace(kept_at)
    return average
