import kornia
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from reenact_core.evaluation import metrics


def pictures(count: int = 2, height: int = 64, width: int = 80, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth random pictures and noisy copies, [N,3,H,W]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, height // 8, width // 8, generator=generator)
    a = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    return a, (a + 0.1 * torch.randn(a.shape, generator=generator)).clamp(0, 1)


def oracle_maps(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SSIM and contrast maps of two planes by the definition, windows fully inside."""

    def blur(values):
        return gaussian_filter(values, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    contrast = (2 * covariance + 0.03**2) / (var_x + var_y + 0.03**2)
    return contrast * (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2), contrast


def test_l1_and_psnr_follow_their_formulas():
    a, b = pictures()
    x, y = a.double().numpy(), b.double().numpy()
    assert metrics.l1(a, b).tolist() == pytest.approx(np.abs(x - y).mean((1, 2, 3)), rel=1e-5)
    expected = 10 * np.log10(1 / ((x - y) ** 2).mean((1, 2, 3)))
    assert metrics.psnr(a, b).tolist() == pytest.approx(expected, abs=1e-3)


def test_known_difference():
    a = torch.full((1, 3, 20, 20), 0.5)
    assert metrics.psnr(a, a + 0.1).item() == pytest.approx(20.0, abs=1e-3)
    assert metrics.psnr(a, a).item() == pytest.approx(metrics.PSNR_CAP)


def test_values_outside_the_range_count_as_clipped():
    a = torch.zeros(1, 3, 16, 16)
    assert metrics.l1(a, a - 3).item() == 0
    assert metrics.l1(a + 1, a + 9).item() == 0


@pytest.mark.parametrize("metric", [metrics.l1, metrics.psnr])
def test_mask_looks_at_its_pixels_alone(metric):
    a, b = pictures()
    mask = torch.zeros(2, 1, 64, 80)
    mask[:, :, 10:30, 20:60] = 1
    spoiled = torch.where(mask.bool(), b, 1 - b)
    cut = metric(a[:, :, 10:30, 20:60], b[:, :, 10:30, 20:60])
    assert torch.allclose(metric(a, spoiled, mask), cut, atol=1e-4)


def test_empty_mask_is_nan():
    a, b = pictures()
    assert metrics.psnr(a, b, torch.zeros(2, 1, 64, 80)).isnan().all()


def test_ssim_against_scipy_and_kornia():
    a, b = pictures()
    x, y = a.double().numpy(), b.double().numpy()
    expected = [np.mean([oracle_maps(x[n, c], y[n, c])[0] for c in range(3)]) for n in range(2)]
    values = metrics.similarity(a, b).ssim
    assert values.tolist() == pytest.approx(expected, abs=1e-5)
    assert torch.allclose(kornia.metrics.ssim(a, b, 11, padding="valid").mean((1, 2, 3)), values, atol=1e-4)


def test_masked_ssim_averages_the_windows_centred_in_the_mask():
    a, b = pictures(1)
    mask = torch.zeros(1, 1, 64, 80)
    mask[:, :, 20:40, 30:50] = 1
    x, y = a.double().numpy()[0], b.double().numpy()[0]
    expected = np.mean([oracle_maps(x[c], y[c])[0][15:35, 25:45] for c in range(3)])
    assert metrics.similarity(a, b, mask).ssim.item() == pytest.approx(expected, abs=1e-5)


def test_ms_ssim_against_a_naive_oracle():
    a, b = pictures(1, 192, 176)
    x, y = a.double().numpy()[0], b.double().numpy()[0]
    products = []
    for c in range(3):
        one, two, product = x[c], y[c], 1.0
        for scale, weight in enumerate(metrics.SCALE_WEIGHTS):
            whole, contrast = oracle_maps(one, two)
            product *= (whole if scale == 4 else contrast).mean() ** weight
            rows, columns = one.shape[0] // 2, one.shape[1] // 2
            one, two = (p[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean((1, 3)) for p in (one, two))
        products.append(product)
    assert metrics.similarity(a, b).ms_ssim.item() == pytest.approx(np.mean(products), abs=1e-5)


def test_ms_ssim_is_undefined_below_its_smallest_side():
    a, b = pictures(1, 168, 256)
    assert metrics.similarity(a, b).ms_ssim.isnan().all()
    assert not metrics.similarity(a, b).ssim.isnan().any()
    a, b = pictures(1, 176, 176)
    assert not metrics.similarity(a, b).ms_ssim.isnan().any()
    tiny = torch.rand(1, 3, 8, 8)
    assert metrics.similarity(tiny, tiny).ssim.isnan().all()


def test_similarity_of_a_picture_with_itself_is_one_and_falls_with_noise():
    a, _ = pictures(1, 192, 192)
    same = metrics.similarity(a, a)
    assert same.ssim.item() == pytest.approx(1, abs=1e-5)
    assert same.ms_ssim.item() == pytest.approx(1, abs=1e-5)
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    falling = [metrics.similarity(a, a + s * noise).ms_ssim.item() for s in (0.0, 0.05, 0.1, 0.2)]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] < 0.9


def test_second_difference_ignores_steady_change_and_sees_flicker():
    ramp = torch.stack([torch.full((3, 8, 8), v) for v in (0.2, 0.3, 0.4)])
    assert metrics.second_difference(ramp).item() == pytest.approx(0, abs=1e-6)
    flash = torch.stack([torch.full((3, 8, 8), v) for v in (0.2, 0.3, 0.2)])
    assert metrics.second_difference(flash).item() == pytest.approx(0.2, abs=1e-6)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4, :] = 1
    flash[1, :, :4] = 0.2
    assert metrics.second_difference(flash, mask).item() == pytest.approx(0, abs=1e-6)
