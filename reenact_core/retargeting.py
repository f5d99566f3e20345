"""From the driving person's motion to this person's: what turns "their" landmarks into "ours"."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from . import geometry
from .canonical_shape import CanonicalShape, HeadPose, average_shape, calmness, fuse_shape, head_pose
from .contact import keep_contacts
from .editing.mixing import nearest_rotation
from .errors import ReenactError
from .face_regions import LIP_CORNERS
from .head_channels import PARTS, head_angles, part_weights, rotation_of_angles
from .motion_models.mesh_flows import face_height
from .mouth_calibration import FRAMES, calibrate_mouth
from .pose import pose_distance
from .pose_limits import limit_angles
from .retarget_settings import Follow, Retargeting
from .still_camera import without_camera
from .tracking import BlendshapeNet, read_blendshapes
from .types import DrivingMotion, Faces, References, Transfer

__all__ = ["Follow", "Retargeting", "Transfer", "retarget"]

ALIKE = 8.0  # degrees from the nearest pose to the first reference's at which a driving frame counts exp(-1/2)
# Distances that tell a face's width, height and depth, for the proportions of movements.
WIDTH, HEIGHT, DEPTH = (234, 454), (168, 152), (1, 234)
LEAST_RATIO, MOST_RATIO = 0.75, 1.33
# By which mouths are asked to move farther: pictures of them move less than was asked, upper lips and corners by about
# a quarter, lower lips by a tenth. So lips part, rise and spread in the same proportions as the driver's.
MORE_SIDEWAYS, MORE_ABOVE, MORE_BELOW = 0.2, 0.32, 0.1
LIPS_MEET = 0.06  # face heights over which what is asked above the line between the lips' corners fades to that below
SAME_FACE = 0.05  # mean distance of landmarks, in face heights, up to which two faces are one tracked twice


def retarget(
    motion: DrivingMotion, references: References, transfer: Transfer, settings: Retargeting | None = None
) -> DrivingMotion:
    """The motion on the output canvas; with this person's own face shape where the transfer is relative.

    Absolute transfer leaves the motion alone, and every transfer leaves alone what was retargeted before. Relative
    transfer works in head coordinates (`canonical_shape`): the driver's resting face is fused from the shot, or is the
    neutral frame that the user chose; ours is fused from all references. What the driver's face differs from rest, in
    our proportions, is added to our resting face, whose mouth is calibrated on the way (or, channel by channel, to the
    first reference's); lips and lids are made to meet. Then the head is turned, scaled and shifted from its pose in the
    first reference as the driver's since the frames in which its pose is most like that one. After a cut size and place
    begin anew; how the head is turned does not, and what a shot never shows at rest is known from the others.

    Raises:
        ReenactError: the motion was retargeted before, to another first reference.
    """
    if motion.transfer is Transfer.RELATIVE:
        _check_person(motion, references)
        return motion
    if transfer is Transfer.ABSOLUTE:
        return motion
    settings = settings or Retargeting()
    settings = settings.resolved(not motion.floating)
    spans = motion.shot_spans()
    rests = _resting(motion, spans)
    turned = _start_rotation(motion.faces, references.faces.at([0])) if motion.floating else None
    shots = zip(spans, rests)
    parts = [_retarget_shot(motion.at(span), rest, turned, references, settings) for span, rest in shots]
    faces = Faces(*(torch.cat(fields) for fields in zip(*parts)))
    image = references.images[0]
    canvas = (image.shape[-2], image.shape[-1])
    anchored = _anchor(motion, references) if motion.floating else motion
    neutral = references.faces.at([0])
    return anchored._replace(faces=faces, canvas=canvas, neutral=neutral, transfer=transfer, scene=None)


def _check_person(motion: DrivingMotion, references: References) -> None:
    image, own, known = references.images[0], references.faces.landmarks[:1], motion.neutral.landmarks
    size = (image.shape[-2], image.shape[-1])
    away = float(((own - known)[..., :2].norm(dim=-1).mean() / face_height(known)).amax())
    if size != motion.canvas or away > SAME_FACE:
        raise ReenactError(
            "The motion was retargeted to another first reference than the one given now "
            f"({motion.canvas[1]} x {motion.canvas[0]} against {size[1]} x {size[0]} pixels, landmarks {away:.0%} of "
            "the face's height apart). Give the same references to retargeting and to warping, in the same order."
        )


def _anchor(motion: DrivingMotion, references: References) -> DrivingMotion:
    """The motion with the frame most like the first reference as its neutral one, for models with a motion code."""
    distance = pose_distance(motion.faces, references.faces.at([0]))[:, 0]
    best = int(distance.masked_fill(~motion.faces.found, torch.inf).argmin())
    code = None if motion.code is None else motion.code[[best]]
    return motion._replace(neutral=motion.faces.at([best]), neutral_code=code)


def _retarget_shot(
    motion: DrivingMotion,
    their_rest: CanonicalShape,
    turned: Tensor | None,
    references: References,
    settings: Retargeting,
) -> Faces:
    """One shot's faces on the first reference's canvas; `turned`: rotation at the start, None = the neutral frame's."""
    driving, own = motion.faces, references.faces.at([0])
    pose = head_pose(driving, their_rest.points)
    change = pose.to_head(driving.landmarks) - their_rest.points  # [T,478,3]
    our_rest = fuse_shape(references.faces)
    ratio = _proportions(our_rest, their_rest)
    our_pose = head_pose(own, our_rest.points)
    first = our_pose.to_head(own.landmarks)  # [1,478,3]

    change, their_points = change * ratio, their_rest.points * ratio
    if turned is None:
        start = head_pose(motion.neutral, their_rest.points)
    else:
        pose = without_camera(pose, motion.scene, float(motion.frame_rate))
        scale, centre = _start_place(pose, our_pose, driving.found)
        start = HeadPose(scale, turned, centre)
    placed = _follow_pose(motion, pose, start, our_pose, references, settings)
    asked, resting = change, our_rest.points
    if settings.mouth is Follow.ABSOLUTE and settings.gain("mouth") > 0:
        some = torch.linspace(0, len(change) - 1, min(FRAMES, len(change))).round().long()
        places = HeadPose(*(field[some] for field in placed))
        fully = replace(settings, mouth_gain=1.0)  # calibration shall not make up for a gain

        def read(additions: Tensor) -> Tensor:
            shapes = _follow_shape(change[some], change[some], first, resting + additions, their_points, fully)
            return read_blendshapes(_reader(), places.to_image(shapes))

        resting = resting + (1 + _more()) * calibrate_mouth(read, driving.blendshapes, some)
        asked = change * (1 + _more())
    landmarks = placed.to_image(_follow_shape(asked, change, first, resting, their_points, settings))
    return Faces(
        landmarks=landmarks,
        blendshapes=_blendshapes(landmarks, own),
        rotation=placed.rotation,
        score=driving.score,
        found=driving.found,
    )


@cache
def _more() -> Tensor:
    """How much farther each landmark is asked to move across the face, down it and into it: [478,3]."""
    points, line = average_shape(), average_shape()[list(LIP_CORNERS), 1].mean()
    above = geometry.smooth_step(0.5 + (line - points[:, 1]) / LIPS_MEET)
    down = MORE_BELOW + (MORE_ABOVE - MORE_BELOW) * above
    more = torch.stack([torch.full_like(down, MORE_SIDEWAYS), down, down], 1)
    return more * part_weights()[0][PARTS.index("mouth")][:, None]


def _proportions(ours: CanonicalShape, theirs: CanonicalShape) -> Tensor:
    """How much wider, higher and deeper our face is than the driver's: [3]."""
    ratios = []
    for axis, (one, other) in enumerate((WIDTH, HEIGHT, DEPTH)):
        extent = [(shape.points[one, axis] - shape.points[other, axis]).abs() for shape in (ours, theirs)]
        ratios.append((extent[0] / extent[1].clamp_min(1e-6)).clamp(LEAST_RATIO, MOST_RATIO))
    return torch.stack(ratios)


def _follow_shape(
    asked: Tensor, change: Tensor, first: Tensor, rest: Tensor, their_rest: Tensor, settings: Retargeting
) -> Tensor:
    """Our face's shapes [T,478,3] in head coordinates.

    Args:
        asked: [T,478,3] our face's change since rest. change: [T,478,3] the driver's, in our proportions, which lips
            and lids keep to. first: [1,478,3] our first reference. rest: [478,3] or [T,478,3] our resting face.
        their_rest: [478,3] the driver's resting face in our proportions.
    """
    shares = torch.cat([part_weights()[0], 1 - part_weights()[0].sum(0, keepdim=True)])  # parts and the rest
    channels = [{"brows": "expression"}.get(part, part) for part in PARTS] + ["expression"]
    absolute = torch.tensor([float(settings.follows(channel) is Follow.ABSOLUTE) for channel in channels])
    gains = torch.tensor([settings.gain(channel) for channel in channels])
    base = first + (absolute @ shares)[:, None] * (rest - first)
    wanted = base + asked
    if settings.contact:
        wanted = keep_contacts(wanted, their_rest + change, their_rest, base[0])
    return first + (gains @ shares)[:, None] * (wanted - first)


def _follow_pose(
    motion: DrivingMotion,
    pose: HeadPose,
    start: HeadPose,
    ours: HeadPose,
    references: References,
    settings: Retargeting,
) -> HeadPose:
    """Where our head is in every frame; `start` is the driver's pose that counts as ours in the first reference."""
    height, width = references.images[0].shape[-2:]
    turn = pose.rotation @ start.rotation.transpose(1, 2) @ ours.rotation
    wanted = pose.rotation if settings.rotation is Follow.ABSOLUTE else turn
    rotation = power(wanted @ ours.rotation.transpose(1, 2), settings.gain("rotation")) @ ours.rotation
    if settings.gain("rotation") > 0 and settings.reach < 90:
        shown = head_angles(references.faces.rotation)
        limited = limit_angles(torch.rad2deg(head_angles(rotation)), torch.rad2deg(shown), settings.reach)
        rotation = rotation_of_angles(torch.deg2rad(limited))

    growth = steady((pose.scale / start.scale).log(), settings.scale_lock).exp()
    wanted = ours.scale * growth
    if settings.scale is Follow.ABSOLUTE:
        wanted = growth * start.scale * height / motion.canvas[0]
    scale = ours.scale * (wanted / ours.scale) ** settings.gain("scale")

    wanted = ours.centre + (pose.centre - start.centre) * (ours.scale / start.scale)[:, None]
    if settings.translation is Follow.ABSOLUTE:
        canvas = pose.centre.new_tensor([motion.canvas[1], motion.canvas[0], motion.canvas[0]])
        wanted = pose.centre / canvas * canvas.new_tensor([width, height, height])
    centre = ours.centre + settings.gain("translation") * (wanted - ours.centre)
    return HeadPose(scale, rotation, centre)


def _resting(motion: DrivingMotion, spans: list[slice]) -> list[CanonicalShape]:
    """The driver's resting face in each shot: of the shot where it shows a part of the face at rest, else of all."""
    if not motion.floating:
        return [fuse_shape(motion.neutral)] * len(spans)
    faces = motion.faces
    whole = fuse_shape(faces)
    if len(spans) == 1:
        return [whole]
    calm = calmness(faces) * faces.found[:, None]  # [T,478]
    rests = []
    for span in spans:
        own = fuse_shape(faces.at(span))
        shown = calm[span].amax(0)[:, None]
        rests.append(own._replace(points=torch.lerp(whole.points, own.points, shown)))
    return rests


def _alike(rotation: Tensor, ours: Tensor, found: Tensor) -> Tensor:
    """How much each of the driver's heads [T,3,3] is turned like ours [1,3,3]: weights [T] of sum 1."""
    trace = (rotation * ours).sum((1, 2))
    apart = torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos()).masked_fill(~found, torch.inf)
    weights = torch.exp((apart.amin().square() - apart.square()) / (2 * ALIKE**2))
    return weights / weights.sum()


def _start_rotation(film: Faces, own: Faces) -> Tensor:
    """The driver's head rotation [1,3,3] that counts as the first reference's: the mean of those most like it.

    It is the same in all shots of a film, so that a face turned away after a cut is turned away in the result.
    """
    weights = _alike(film.rotation, own.rotation, film.found)
    return nearest_rotation(torch.einsum("t,tij->ij", weights, film.rotation)[None])


def _start_place(pose: HeadPose, ours: HeadPose, found: Tensor) -> tuple[Tensor, Tensor]:
    """The driver's size [1] and place [1,3] in a shot that count as the first reference's."""
    weights = _alike(pose.rotation, ours.rotation, found)
    return (weights @ pose.scale.log()).exp()[None], (weights @ pose.centre)[None]


def power(rotation: Tensor, exponent: float) -> Tensor:
    """Rotations [N,3,3] by `exponent` times their angle, about the same axis."""
    if exponent == 1:
        return rotation
    return torch.linalg.matrix_exp(exponent * _logarithm(rotation))


def _logarithm(rotation: Tensor) -> Tensor:
    """Skew matrices [N,3,3] whose exponentials are rotations below 180 degrees."""
    angle = (((rotation.diagonal(dim1=1, dim2=2).sum(1)) - 1) / 2).clamp(-1, 1).acos()
    return (rotation - rotation.transpose(1, 2)) / 2 / torch.sinc(angle / torch.pi)[:, None, None].clamp_min(1e-3)


def steady(values: Tensor, lock: float) -> Tensor:
    """Values [T] that stay, at first at 0, until the given ones [T] are farther than `lock` away."""
    kept, steadied = 0.0, []
    for value in values.tolist():
        kept = min(max(kept, value - lock), value + lock)
        steadied.append(kept)
    return values.new_tensor(steadied)


@cache
def _reader() -> BlendshapeNet:
    return BlendshapeNet.load()


def _blendshapes(landmarks: Tensor, own: Faces) -> Tensor:
    """What the tracker would read in our moved face: [T,52] in 0..1, so that it compares with our references."""
    own_reading = read_blendshapes(_reader(), own.landmarks)
    return (own.blendshapes + read_blendshapes(_reader(), landmarks) - own_reading).clamp(0, 1)
