"""The training loop: small batches of random samples, EMA weights, checkpoints, resume, CSV log, contact sheets.

On several GPUs run it through torchrun; every process draws its own samples and gradients are averaged.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import random
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import ReenactError
from ..evaluation.networks import load_lpips
from ..fusing import fuse_level
from ..fusion.base import apply_prior
from ..fusion.learned import Learned
from ..images import write_image
from ..motion_models.face_mesh import FaceMesh
from ..motion_models.mesh_boxes import SIDE_STEP
from ..motion_models.mesh_network import FINE
from ..motion_models.mesh_weights import new_networks
from ..tracking import FaceTracker
from .avatars import AvatarConfig
from .clips import Clip
from .exact_truth import exact_losses
from .losses import Judges, LossWeights, picture_loss, pixel_loss, warp_loss
from .reading import reading_loss
from .samples import Augmentation, Sample, draw
from .validation import validate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that defines a run; stored beside the weights."""

    steps: int = 20000
    samples_per_step: int = 2
    references: tuple[int, ...] = (1, 2, 3, 4, 6, 8)  # R is drawn from these
    size: int = 320  # pixels of a training picture: about as many as the clips have
    width: int = 32  # channels of the motion network on its coarse grid
    refiner_width: int = 48  # channels of the refiner at its finest level
    refine_from: int = 0  # step at which the refiner joins; motion is learned first
    motion_until: int | None = None  # step from which only the refiner goes on; None = both to the end
    learning_rate: float = 1.5e-3
    final_rate: float = 0.03  # share of the learning rate at the end (linear decay)
    warm_up: int = 200
    weight_decay: float = 0.02
    ema: float = 0.998
    save_every: int = 100
    sheet_every: int = 1000  # steps between contact sheets and validations
    validated: tuple[int, ...] = (1, 4)  # R of validations on the clips held out
    seed: int = 0
    mixed_precision: bool = False
    rendered_share: float = 0.15  # share of samples that show rendered heads, where there are any
    avatars: AvatarConfig = field(default_factory=AvatarConfig)
    hold_out: tuple[str, ...] = ()  # names of clips that are never trained on
    losses: LossWeights = field(default_factory=LossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        smallest = {
            "steps": 1,
            "samples_per_step": 1,
            "size": FINE,
            "width": 8,
            "refiner_width": 8,
            "save_every": 1,
            "sheet_every": 1,
        }
        for name, least in smallest.items():
            if getattr(self, name) < least:
                raise ReenactError(f"Training: {name} is {getattr(self, name)}, but must be at least {least}.")
        for name in ("width", "refiner_width"):
            if getattr(self, name) % 8:
                raise ReenactError(f"Training: {name} is {getattr(self, name)}, but must be a multiple of 8.")
        if self.size % SIDE_STEP:
            raise ReenactError(f"Training: size is {self.size}, but must be a multiple of {SIDE_STEP}.")
        if not self.references or min(self.references) < 1:
            raise ReenactError(f"Training: references are {list(self.references)}, but must be numbers >= 1.")


def train(clips: list[Clip], config: TrainingConfig, lpips_file: Path, folder: Path, device: str = "cpu") -> Path:
    """Train the networks of the face-mesh model; returns the file with the EMA weights.

    Args:
        clips: what to learn from; those named in `config.hold_out` only serve for validation.
        lpips_file: weights of the perceptual loss.
        folder: checkpoints, log.csv and sheets go here; an interrupted run found there is continued.
    """
    folder.mkdir(parents=True, exist_ok=True)
    workers, rank = _join_group()
    used = [clip for clip in clips if clip.name not in config.hold_out]
    filmed = [clip for clip in used if clip.truth is None] or used
    rendered = [clip for clip in used if clip.truth is not None]
    unseen = [clip for clip in clips if clip.name in config.hold_out]
    if not used:
        raise ReenactError("All clips are held out, so there is nothing to train on. Give more clips.")
    torch.manual_seed(config.seed)
    networks = new_networks(config.width, config.refiner_width)
    network = networks.as_module()
    model = FaceMesh(networks).to(device)
    judges = Judges(load_lpips(lpips_file).to(device), FaceTracker.load(device).mesh.for_gradients())
    optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    average = {key: value.detach().clone() for key, value in network.state_dict().items()}
    state, weights_file = folder / "state.pt", folder / "face_mesh.safetensors"
    first = _resume(state, network, optimiser, average) if state.exists() else 0
    rng = random.Random(config.seed * 1000 + first * workers + rank)
    begun, recent = time.monotonic(), []
    for step in range(first, config.steps):
        settled = config.motion_until is not None and step >= config.motion_until
        networks.motion.requires_grad_(not settled)
        rate = config.learning_rate * _schedule(step, config)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        # All processes draw the same numbers of references, or they would wait for each other.
        counts = random.Random(config.seed + step).choices(config.references, k=config.samples_per_step)
        for count in counts:
            clip = rng.choice(rendered if rendered and rng.random() < config.rendered_share else filmed)
            strangers = [other for other in filmed if other is not clip]
            sample = draw(clip, count, config.size, config.augmentation, rng, strangers)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=config.mixed_precision):
                loss, result = sample_loss(model, sample, judges, config.losses, step >= config.refine_from)
            (loss / config.samples_per_step).backward()
            recent.append(float(loss.detach()))
        if workers > 1:
            for parameter in network.parameters():
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= workers
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        keep = min(config.ema, (step + 1) / (step + 10))
        for key, value in network.state_dict().items():
            average[key].lerp_(value, 1 - keep)
        done = step + 1
        if rank == 0 and (done % config.save_every == 0 or done == config.steps):
            _save(state, weights_file, network, optimiser, average, done, config)
            _write_log(folder / "log.csv", done, sum(recent) / len(recent), rate, time.monotonic() - begun)
            recent.clear()
        if rank == 0 and (done % config.sheet_every == 0 or done == config.steps):
            pictures = [*sample.encoded.images[:4], result[0].detach(), sample.truth[0]]
            write_image(folder / f"sheet_{done:06d}.png", _row(pictures))
            if unseen:
                steady = new_networks(config.width, config.refiner_width)
                steady.as_module().load_state_dict(average)
                scores = validate(FaceMesh(steady).to(device).eval(), unseen, judges.perceptual, config.validated)
                _write_row(folder / "validation.csv", {"step": done, **scores})
    return weights_file


def sample_loss(
    model: FaceMesh, sample: Sample, judges: Judges, weights: LossWeights, refine: bool = True
) -> tuple[Tensor, Tensor]:
    """Loss of one sample and the finished picture [1,3,N,N]. A motion network without gradients has no loss."""
    device = model.device
    encoded = sample.encoded._replace(
        **{name: getattr(sample.encoded, name).to(device) for name in ("images", "coarse", "fine", "usable", "person")}
    )
    truth, shown, emphasis = (part.to(device) for part in (sample.truth, sample.shown, sample.emphasis))
    settled = model.network is None or not any(part.requires_grad for part in model.network.parameters())
    with torch.set_grad_enabled(not settled):
        evidence, output = model.evidence(encoded, sample.flows, sample.distance, sample.boxes, truth.shape[-1])
        strategy = Learned()
        shares = apply_prior(strategy.weights(evidence), evidence.prior)
        fused = torch.lerp(truth, strategy.fuse(evidence, shares), shown)  # beyond the frame nobody is to blame
        result, loss = fused, truth.new_zeros(())
        if not settled:
            loss = warp_loss(evidence, output, truth, sample.still.to(device), weights)
            if sample.exact is not None:
                size = (encoded.images.shape[-2], encoded.images.shape[-1])
                missed, trusted = exact_losses(
                    output.deformation, output.confidence, sample.exact, size, float(sample.boxes[0, 2])
                )
                loss = loss + weights.exact_flow * missed + weights.hidden * trusted
        levels = [fuse_level(level, shares.mean(2, keepdim=True)) for level in evidence.levels or ()]
    if refine and model.refiner is not None and levels:
        result = torch.lerp(truth, model.refiner(fused, *levels), shown)
        loss = loss + weights.before_refiner * pixel_loss(fused, truth, emphasis, weights)
    if judges.mesh is not None and weights.landmarks > 0:
        loss = loss + weights.landmarks * reading_loss(result, truth, sample.landmarks.to(device), judges.mesh)
    return loss + picture_loss(result, truth, emphasis, judges.perceptual, weights), result


def _row(pictures: list[Tensor]) -> Tensor:
    """Pictures [3,*,*] side by side, all as high as the last."""
    size = pictures[-1].shape[-2:]
    resized = [F.interpolate(p[None].float(), size=size, mode="bilinear", antialias=True)[0] for p in pictures]
    return torch.cat(resized, -1).clamp(0, 1).cpu()


def _schedule(step: int, config: TrainingConfig) -> float:
    """Share of the learning rate at a step: linear warm-up, then linear decay."""
    decay = 1 - step / config.steps
    return min(1.0, (step + 1) / config.warm_up) * max(config.final_rate, decay)


def _resume(state: Path, network: nn.Module, optimiser: torch.optim.Optimizer, average: dict[str, Tensor]) -> int:
    kept = torch.load(state, map_location="cpu", weights_only=True)
    network.load_state_dict(kept["network"])
    optimiser.load_state_dict(kept["optimiser"])
    for key, value in kept["average"].items():
        average[key].copy_(value)
    log.info("Continuing at step %d.", kept["step"])
    return kept["step"]


def _save(
    state: Path,
    weights_file: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
    step: int,
    config: TrainingConfig,
) -> None:
    partial = state.with_suffix(".partial")
    torch.save(
        {
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "average": average,
            "step": step,
        },
        partial,
    )
    partial.replace(state)
    metadata = {"model": "face_mesh", "step": str(step), "config": json.dumps(asdict(config))}
    partial = weights_file.with_suffix(".partial")
    save_file({key: value.contiguous().cpu() for key, value in average.items()}, partial, metadata)
    partial.replace(weights_file)


def _write_log(file: Path, step: int, loss: float, rate: float, seconds: float) -> None:
    _write_row(file, {"step": step, "loss": loss, "learning_rate": rate, "seconds": seconds})
    if not math.isfinite(loss):
        raise FloatingPointError(f"The loss is {loss} at step {step}.")
    log.info("step %d loss %.4f (%.0f s)", step, loss, seconds)


def _write_row(file: Path, values: dict[str, float]) -> None:
    """Append one line to a CSV; the first brings the header."""
    new = not file.exists()
    with file.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(values)
        writer.writerow([f"{value:.6g}" for value in values.values()])


def _join_group() -> tuple[int, int]:
    """(number of processes, this process's rank) as torchrun says."""
    workers = int(os.environ.get("WORLD_SIZE", "1"))
    if workers > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return workers, int(os.environ.get("RANK", "0"))
