"""Schedule, parameter groups, steps of both optimisers and the average."""

import pytest
import torch
from torch import nn

from trainer.optimisation import Budget, Optimiser, ema_decay, parameter_groups, rate_factor, update_average
from trainer.settings import OptimiserSettings


class TestSchedule:
    def test_warm_up_then_cosine_to_zero(self) -> None:
        assert rate_factor(0.0, 0.1) == 0
        assert rate_factor(0.05, 0.1) == pytest.approx(0.5)
        assert rate_factor(0.1, 0.1) == pytest.approx(1.0)
        assert rate_factor(0.55, 0.1) == pytest.approx(0.5)
        assert rate_factor(1.0, 0.1) == pytest.approx(0.0, abs=1e-12)
        assert rate_factor(1.7, 0.1) == pytest.approx(0.0, abs=1e-12)

    def test_no_warm_up_starts_at_the_peak(self) -> None:
        assert rate_factor(0.0, 0.0) == 1.0

    def test_budget_ends_at_its_first_limit(self) -> None:
        assert Budget(0, 10).position(5, 1e9) == 0.5
        assert Budget(10, 0).position(10**9, 300) == 0.5
        assert Budget(10, 100).position(80, 300) == 0.8

    @pytest.mark.parametrize("limits", [(0, 0), (-1, 5)])
    def test_budget_needs_a_limit(self, limits: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="budget"):
            Budget(*limits)


class TestOptimiser:
    def link(self) -> nn.Module:
        return nn.ModuleDict({"head": nn.Conv2d(2, 2, 1), "attention": nn.Linear(2, 2), "heads": nn.PReLU(2)})

    def test_groups(self) -> None:
        link = self.link()
        wanted = OptimiserSettings(weight_decay=0.1, lr_scale={"head": 0.1, "head.bias": 0.5})
        of = {
            id(parameter): (group["scale"], group["weight_decay"])
            for group in parameter_groups(link, wanted)
            for parameter in group["params"]
        }
        found = {name: of[id(parameter)] for name, parameter in link.named_parameters()}
        assert found == {
            "head.weight": (0.1, 0.1),
            "head.bias": (0.5, 0.0),
            "attention.weight": (1.0, 0.0),
            "attention.bias": (1.0, 0.0),
            "heads.weight": (1.0, 0.0),
        }

    def test_scaled_rate_moves_less(self) -> None:
        link = self.link()
        optimiser = Optimiser(link, OptimiserSettings(weight_decay=0.0, lr_scale={"head": 0.1}))
        before = {name: parameter.detach().clone() for name, parameter in link.named_parameters()}
        for parameter in link.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step(0.01)
        moved = {name: (before[name] - parameter).abs().mean().item() for name, parameter in link.named_parameters()}
        # Adam's first step has the length of the rate.
        assert moved["attention.weight"] == pytest.approx(0.01, rel=1e-3)
        assert moved["head.weight"] == pytest.approx(0.001, rel=1e-3)

    def test_lr_scale_that_fits_nothing(self) -> None:
        with pytest.raises(ValueError, match="carier"):
            parameter_groups(self.link(), OptimiserSettings(lr_scale={"carier": 0.1}))

    @pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
    def test_muon_moves_a_kernel_by_an_orthogonal_matrix(self, memory_format: torch.memory_format) -> None:
        torch.manual_seed(0)
        link = nn.ModuleDict({"blocks": nn.Conv2d(8, 16, 3), "head": nn.Conv2d(8, 16, 1)})
        link.to(memory_format=memory_format)  # type: ignore[call-overload]
        optimiser = Optimiser(link, OptimiserSettings(weight_decay=0.0, muon=("blocks",)))
        before = {name: parameter.detach().clone() for name, parameter in link.named_parameters()}
        for parameter in link.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimiser.step(0.01)
        moved = {name: before[name] - parameter.detach() for name, parameter in link.named_parameters()}
        kernel = moved["blocks.weight"].flatten(1) / 0.01
        # [16, 72] with orthonormal rows, times 0.2 sqrt(72); Newton-Schulz leaves singular values of 0.7..1.2.
        singular = torch.linalg.svdvals(kernel) / (0.2 * 72**0.5)
        assert (singular.min() > 0.6, singular.max() < 1.3) == (True, True)
        gradient = link.get_parameter("blocks.weight").grad
        assert gradient is not None
        assert torch.nn.functional.cosine_similarity(kernel.flatten(), gradient.flatten(1).flatten(), dim=0) > 0.7
        for name in ("blocks.bias", "head.weight"):  # AdamW: a first step has the length of the rate
            assert moved[name].abs().mean().item() == pytest.approx(0.01, rel=1e-3)

    def test_muon_that_fits_nothing(self) -> None:
        with pytest.raises(ValueError, match="muon: 'block' is no part"):
            parameter_groups(self.link(), OptimiserSettings(muon=("block",)))

    def test_average_formula(self) -> None:
        average, module = nn.Linear(1, 1), nn.Linear(1, 1)
        nn.init.constant_(average.weight, 2.0)
        nn.init.constant_(module.weight, 12.0)
        update_average(average, module, 0.9)
        assert average.weight.item() == pytest.approx(0.9 * 2 + 0.1 * 12)
        assert module.weight.item() == 12.0

    def test_average_forgets_the_start(self) -> None:
        assert ema_decay(0, 0.999) == pytest.approx(0.1)
        assert ema_decay(90, 0.999) == pytest.approx(0.91)
        assert ema_decay(10**6, 0.999) == 0.999
