"""The default motion model: a dense face mesh moves the references' own pixels, at their own resolution.

References are aligned to the canvas and matched in colour once. For every driving frame, candidate flows
(`mesh_flows`) are mixed per pixel into one deformation per reference; confidence says how well that reference shows
the pixel. Fusion happens on images (C = 3).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from .. import geometry
from ..face_regions import region_differences, region_maps
from ..pose import pose_distance
from ..stopping import may_stop
from ..tracking import PersonMatte
from ..types import DrivingMotion, Evidence, References
from . import mesh_flows
from .base import MotionModel, Painter
from .mesh_boxes import steady_boxes
from .mesh_eyes import around_eyes, close_lids, place_irises
from .mesh_flows import MESH
from .mesh_lookup import look_up, places_at
from .mesh_mouth import CHEEKS, Hollow, close_lips, darken, from_one, hold_teeth, shows_inside, unknown_share
from .mesh_network import (
    DECISION,
    DETAIL,
    GRID,
    NetworkInputs,
    NetworkOutput,
    decide,
    follow_low_band,
    network_inputs,
    sample_each,
)
from .mesh_plate import continue_scene, reach_of
from .mesh_references import EncodedReferences, encode
from .mesh_refiner import MeshRefiner
from .mesh_rules import mix_by_rules
from .mesh_seams import redraw_seams
from .mesh_weights import Networks, load_networks

WEIGHTS = Path(__file__).parent / "weights" / "face_mesh.safetensors"
DOUBT = 0.95  # share of the confidence that the inside of a mouth loses where a reference shows none of it
NEARNESS = 2.0  # pose and expression distance at which a reference's confidence falls to 1/e


class FaceMesh(MotionModel):
    """Mesh geometry, mixed and refined by small networks, or mixed by rules where there are none."""

    name = "face_mesh"
    default_strategy = "learned"

    def __init__(self, networks: Networks | None = None) -> None:
        super().__init__()
        self.matte = PersonMatte.load()
        self.network = None if networks is None else networks.motion
        self.refiner = None if networks is None else networks.refiner

    @classmethod
    def load(cls) -> FaceMesh:
        return cls(load_networks(WEIGHTS))

    def place(self, motion: DrivingMotion) -> Tensor:
        return steady_boxes(motion.faces.landmarks, motion.canvas, motion.shot_spans())

    def encode_references(
        self, references: References, motion: DrivingMotion, side: int, size: int
    ) -> EncodedReferences:
        return encode(references, motion, self.matte, side, size, self.device)

    def warp(self, encoded: EncodedReferences, motion: DrivingMotion, boxes: Tensor, size: int) -> Evidence:
        background = encoded.background
        if encoded.camera is not None:
            background = geometry.compose_affine(background, encoded.camera(motion)[:, None])
        flows = mesh_flows.compute_flows(motion.faces, encoded.faces, background, boxes.float(), GRID, encoded.facing)
        may_stop()
        distance = pose_distance(motion.faces, encoded.faces)
        evidence, _ = self.evidence(encoded, flows, distance, boxes, size)
        return evidence._replace(
            regions=region_maps(motion.faces.landmarks, boxes, evidence.confidence.shape[-1]).to(evidence.confidence),
            differences=region_differences(motion.faces, encoded.faces).to(evidence.confidence),
        )

    def evidence(
        self, encoded: EncodedReferences, flows: mesh_flows.Flows, distance: Tensor, boxes: Tensor, size: int
    ) -> tuple[Evidence, NetworkOutput]:
        """Evidence, and the decisions behind it, from geometry that is already computed.

        Args:
            distance: [T,R] pose and expression distance. boxes: [T,3]. size: working pixels per side.
        """
        mixed = self._mix(encoded, flows, distance, boxes)
        may_stop()
        places, hollow = _places(encoded, flows, mixed, size)
        may_stop()
        features = look_up(encoded.images, encoded.pixels, places)
        may_stop()
        usable = sample_each(encoded.usable, mixed.deformation, "zeros")
        strengths = encoded.strengths.to(usable).expand(len(boxes), -1)
        prior = usable * (strengths > 0)[:, :, None, None, None]
        confidence = mixed.confidence
        if self.network is not None:
            # The network judges pixels; whole references unlike the driving frame count less on top of that.
            confidence = confidence * torch.exp(-distance / NEARNESS)[:, :, None, None, None].to(confidence)
        scores = mixed.scores
        if scores is not None and mixed.context is not None:
            scores = follow_low_band(scores, mixed.context[:, :, DETAIL : DETAIL + 1].to(scores))
        if hollow is not None:
            cheeks = geometry.normalise(encoded.faces.landmarks[:, CHEEKS, :2], encoded.image_size)
            darken(features, hollow, encoded.fine, cheeks)
            unknown = unknown_share(hollow, size, confidence.shape[-1])
            confidence = confidence * (1 - DOUBT * unknown)
            scores = None if scores is None else scores - unknown * scores.new_tensor(DECISION)[:, None, None]
        if scores is not None:
            scores = from_one(scores, flows, encoded.faces.landmarks, prior.to(scores))
        shares = None
        if encoded.extent is not None:
            shares = ((mixed.deformation + 1) / 2 / encoded.extent[:, None, None]).movedim(-1, 2)
        levels = _levels(encoded, flows, mixed.context)
        evidence = Evidence(features, confidence, distance, prior, scores, levels, places=shares, strengths=strengths)
        return evidence, mixed

    def _mix(
        self, encoded: EncodedReferences, flows: mesh_flows.Flows, distance: Tensor, boxes: Tensor
    ) -> NetworkOutput:
        """Candidate flows mixed by the network, or by rules where there is none."""
        height, width = encoded.image_size
        grids = geometry.normalise(flows.positions, (height, width)).to(encoded.images)  # [T,R,6,G,G,2]
        if self.network is None:
            return mix_by_rules(flows, grids, encoded.person, encoded.sharpness, distance)
        per_canvas = torch.linalg.det(encoded.background[:, :, :2]).abs().sqrt()  # [R] reference px per canvas px
        per_box = 2 * boxes[0, 2] * per_canvas[:, None] / torch.tensor([width, height])
        per_box = per_box[:, None, None].to(grids)  # [R,1,1,2]
        maps = flow_maps(flows).to(grids)
        maps = network_inputs(grids, encoded.coarse, encoded.person, encoded.usable, maps, flows.turn.to(grids))
        mesh = geometry.normalise(flows.mesh, (height, width)).to(grids)
        with _half_precision(self.device):
            inputs = NetworkInputs(maps, grids, mesh, flows.openings.to(grids), encoded.fine, per_box)
            return decide(self.network, inputs, encoded.strengths)

    def decode(
        self,
        encoded: EncodedReferences,
        features: Tensor,
        motion: DrivingMotion,
        boxes: Tensor,
        levels: tuple[Tensor, ...] = (),
    ) -> Tensor:
        return _mend(self.refiner, features, levels)

    def painter(self) -> Painter:
        return partial(_mend, None if self.refiner is None else self.refiner.twin())

    def plate(self, encoded: EncodedReferences, motion: DrivingMotion) -> Tensor:
        """The still scene on the canvas; it moves only where the camera does."""
        assert encoded.plate is not None
        assert encoded.extent is not None
        assert encoded.shared is not None
        plate = encoded.plate[None]
        if encoded.camera is None:
            return plate
        camera = encoded.camera(motion)
        grids = geometry.affine_grid(camera, motion.canvas, motion.canvas).to(plate)
        seen = geometry.sample(plate.expand(len(grids), -1, -1, -1), grids)
        maps = geometry.compose_affine(encoded.background, camera[:, None])
        reach = reach_of(grids, torch.ones(2))
        return continue_scene(seen, reach, encoded.images, maps, encoded.extent, encoded.shared)


def _places(
    encoded: EncodedReferences, flows: mesh_flows.Flows, mixed: NetworkOutput, size: int
) -> tuple[Tensor, Hollow | None]:
    """Where to look in each reference, in its pixels [T,R,size,size,2], sharp at lids and lips; and what of open mouths
    no reference shows."""
    places = places_at(mixed.deformation, encoded.image_size, size)
    landmarks = encoded.faces.landmarks
    share, local = mixed.contributions[:, :, MESH], flows.vertices * size
    may_stop()
    redraw_seams(places, close_lids(flows.moved, local), flows.drawn, share, local)
    may_stop()
    place_irises(places, landmarks, share, local)
    may_stop()
    close_lips(places, flows.vertices, landmarks, share, local)
    return places, hold_teeth(places, flows.vertices, landmarks, share, local)


def _levels(encoded: EncodedReferences, flows: mesh_flows.Flows, context: Tensor | None) -> tuple[Tensor, ...] | None:
    """What the refiner is told of every reference, and where it shall change nothing, or no colour."""
    if context is None:
        return None
    # Inside a mouth the refiner's residual is the grey mean of teeth and darkness, so that it paints there only what no
    # reference shows. Irises it shades well, but blue whatever their colour.
    known = shows_inside(flows.vertices, encoded.faces.landmarks)
    mouth = known[..., None, None, None] * flows.openings[:, None, :1]
    eyes = around_eyes(flows.openings[:, 1:])[:, None].expand(-1, known.shape[1], -1, -1, -1)
    return context, torch.cat([mouth, eyes], 2).to(context)


class FaceMeshRules(FaceMesh):
    """The same geometry with hand-made rules in place of the network: nothing learned, to compare with."""

    name = "face_mesh_rules"
    default_strategy = "multiband"

    @classmethod
    def load(cls) -> FaceMeshRules:
        return cls()


def _mend(refiner: MeshRefiner | None, features: Tensor, levels: tuple[Tensor, ...]) -> Tensor:
    """Fused pictures [T,3,H,W], mended by the refiner where there is one."""
    if refiner is not None:
        with _half_precision(features.device):
            return refiner(features, *levels).clamp_(0, 1)
    return features.clamp(0, 1)


def _half_precision(device: torch.device) -> torch.autocast:
    """bfloat16 for the layers that bear it, where the CPU computes with it; never in training, which has its own say.

    The network is about twice as fast with it.
    """
    capable = device.type == "cpu" and any(
        getattr(torch.cpu, f"_is_{unit}_supported", bool)() for unit in ("avx512_bf16", "amx_tile")
    )
    return torch.autocast("cpu", torch.bfloat16, enabled=capable and not torch.is_grad_enabled())


def flow_maps(flows: mesh_flows.Flows) -> Tensor:
    """Per-pixel facts as network input [T,R,8,G,G]: inside, residual, facing, normals, head coordinates."""
    count = flows.angle.shape[1]
    shared = torch.cat([flows.inside, flows.normals, flows.head], 1)[:, None].expand(-1, count, -1, -1, -1)
    return torch.cat([shared[:, :, :1], 4 * flows.residual, flows.facing, shared[:, :, 1:]], 2)
