"""Still images in and out."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reenact_core.errors import ImageError
from reenact_core.images import image_size, list_images, read_image, read_image_and_mask, write_image


def random_bytes(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)


def deep_png(path: Path, pixels: np.ndarray, colour_type: int) -> None:
    """A PNG with 16 bits per channel, written by hand: Pillow can't write them in colour."""

    def part(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + name + content + checksum

    height, width = pixels.shape[:2]
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, colour_type, 0, 0, 0])
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def test_png_keeps_every_byte(tmp_path: Path) -> None:
    pixels = random_bytes(13, 17, 3)
    write_image(tmp_path / "deep" / "er.png", as_tensor(pixels) / 255)
    assert torch.equal(read_image(tmp_path / "deep" / "er.png"), as_tensor(pixels) / 255)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["er.png"]


def test_jpeg_keeps_a_flat_colour_and_values_outside_are_clipped(tmp_path: Path) -> None:
    image = torch.tensor([1.5, 0.25, -0.5]).view(3, 1, 1).expand(3, 16, 24)
    write_image(tmp_path / "flat.JPG", image)
    assert (read_image(tmp_path / "flat.JPG") - image.clamp(0, 1)).abs().max() < 3 / 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_orientation_is_applied(tmp_path: Path, orientation: int, deep: bool) -> None:
    upright = random_bytes(4, 6, 3)
    # What a camera held in that orientation stores, from the definition of the tag (row 0 and column 0 side).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    if deep:
        deep_png(path, stored.astype(np.uint16) * 257, 2)
        chunk = b"eXIf" + exif.tobytes()[6:]
        raw = path.read_bytes()
        inserted = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        path.write_bytes(raw[:33] + inserted + raw[33:])
    else:
        Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    assert image_size(path) == (4, 6)
    torch.testing.assert_close(read_image(path), as_tensor(upright) / 255)


@pytest.mark.parametrize(
    ("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)], ids=["grey", "rgb", "grey-alpha", "rgba"]
)
def test_sixteen_bits_are_scaled_by_65535(tmp_path: Path, colour_type: int, channels: int) -> None:
    deep = np.random.default_rng(channels).integers(0, 65536, (5, 7, channels), dtype=np.uint16)
    deep_png(tmp_path / "deep.png", deep, colour_type)
    image, mask = read_image_and_mask(tmp_path / "deep.png")
    colours = deep[..., : channels - (channels in (2, 4))]
    expected = as_tensor(np.broadcast_to(colours, (5, 7, 3))) / 65535
    assert (image - expected).abs().max() < 1 / 65535
    alpha = as_tensor(deep[..., -1:]) / 65535 if channels in (2, 4) else torch.ones(1, 5, 7)
    assert (mask - alpha).abs().max() < 1 / 65535


def test_alpha_is_straight(tmp_path: Path) -> None:
    pixels = random_bytes(6, 5, 4)
    pixels[0, 0] = (200, 100, 50, 0)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    image, mask = read_image_and_mask(tmp_path / "a.png")
    assert torch.equal(image, as_tensor(pixels[..., :3]) / 255)
    assert torch.equal(mask, as_tensor(pixels[..., 3:]) / 255)
    Image.fromarray(pixels[..., :3]).save(tmp_path / "b.png")
    assert torch.equal(read_image_and_mask(tmp_path / "b.png")[1], torch.ones(1, 6, 5))


def test_palette_grey_bilevel_and_cmyk(tmp_path: Path) -> None:
    colours = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], dtype=np.uint8)
    picture = Image.fromarray(colours)
    picture.quantize(4).save(tmp_path / "palette.png")
    assert torch.equal(read_image(tmp_path / "palette.png"), as_tensor(colours) / 255)
    grey = random_bytes(3, 4, 1)
    Image.fromarray(grey[..., 0]).save(tmp_path / "grey.png")
    assert torch.equal(read_image(tmp_path / "grey.png"), as_tensor(grey).expand(3, 3, 4) / 255)
    Image.fromarray(grey[..., 0] > 127).save(tmp_path / "bits.png")
    assert torch.equal(read_image(tmp_path / "bits.png")[0], torch.from_numpy(grey[..., 0] > 127).float())
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=100)
    red = torch.tensor([1.0, 0, 0]).view(3, 1, 1)
    assert (read_image(tmp_path / "cmyk.jpg") - red).abs().max() < 3 / 255


def test_palette_transparency_becomes_a_mask(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putdata([0, 1])
    picture.save(tmp_path / "p.png", transparency=1)
    assert read_image_and_mask(tmp_path / "p.png")[1].flatten().tolist() == [1, 0]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_gives_its_first_frame(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("#ff0000", "#0000ff")]
    options = {"lossless": True} if suffix == ".webp" else {}
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, **options)
    assert read_image(path)[:, 0, 0].tolist() == [1, 0, 0]


def test_one_pixel_can_be_read(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), "white").save(tmp_path / "1.png")
    assert torch.equal(read_image(tmp_path / "1.png"), torch.ones(3, 1, 1))


def test_bad_files_give_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image at all")
    (tmp_path / "empty.png").touch()
    Image.fromarray(random_bytes(64, 64, 3)).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(random_bytes(64, 64, 3)).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    deep_png(tmp_path / "deep.png", np.random.default_rng(0).integers(0, 65536, (64, 64, 3)), 2)
    whole = (tmp_path / "deep.png").read_bytes()
    (tmp_path / "deep.png").write_bytes(whole[: len(whole) // 2])
    not_finite = np.full((4, 4), np.nan, dtype=np.float32)
    Image.fromarray(not_finite).save(tmp_path / "nan.tif")
    expected = {
        "missing.png": "does not exist",
        "text.png": "no known image",
        "empty.png": "0 bytes",
        "cut.png": "cut short",
        "cut.jpg": "cut short",
        "deep.png": "cut short",
        "nan.tif": "NaN",
        ".": "is a folder",
    }
    for name, words in expected.items():
        with pytest.raises(ImageError, match=words):
            read_image(tmp_path / name)


def test_bad_writes_give_one_clear_error_and_leave_nothing(tmp_path: Path) -> None:
    good = torch.rand(3, 4, 4)
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for path, image, words in (
        (tmp_path / "a.bmp", good, "Use .png"),
        (tmp_path / "a.png", torch.rand(4, 4, 3), r"\[3,H,W\]"),
        (tmp_path / "a.png", torch.rand(3, 0, 4), r"\[3,H,W\]"),
        (tmp_path / "a.png", good.log().log(), "NaN"),
        (tmp_path / "folder.png", good, "is a folder"),
        (tmp_path / "file" / "a.png", good, "can't be written"),
    ):
        with pytest.raises(ImageError, match=words):
            write_image(path, image)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]


def test_listing_is_natural_and_skips_strangers(tmp_path: Path) -> None:
    names = ["10.png", "2.PNG", "1.jpg", "a10.webp", "a9.webp", ".hidden.png", "notes.txt"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "sub.png").mkdir()
    assert [p.name for p in list_images(tmp_path)] == ["1.jpg", "2.PNG", "10.png", "a9.webp", "a10.webp"]


def test_listing_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for folder, words in (
        (tmp_path, "no image"),
        (tmp_path / "no", "not exist"),
        (tmp_path / "notes.txt", "file"),
    ):
        with pytest.raises(ImageError, match=words):
            list_images(folder)
