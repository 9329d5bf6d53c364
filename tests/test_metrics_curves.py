"""The axes and marks of the pictures of losses, read back from the figures. Warnings are errors here."""

import Metrics
from Metrics import curves

import numpy as np
import pytest


def log(losses, validation):
    rows = enumerate(zip(losses, validation, strict=True), 1)
    return [{"step": 10 * step, "loss": loss, "validation_loss": other} for step, (loss, other) in rows]


@pytest.fixture
def draw(monkeypatch, tmp_path):
    """Draws both pictures of a log, and returns the axes of each."""
    saved = []
    save = curves.save_figure
    monkeypatch.setattr(curves, "save_figure", lambda figure, path: saved.append(figure) or save(figure, path))

    def both(rows):
        saved.clear()
        Metrics.loss_curve(rows, tmp_path / "curve.png")
        Metrics.loss_curves({"a": [rows], "b": [rows, rows]}, tmp_path / "curves.png")
        return [figure.axes[0] for figure in saved]

    return both


def ticks(axes):
    """Numbers in sight on the axis of the losses, as they are written."""
    low, high = axes.get_ylim()
    labels = [
        label for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True) if low <= place <= high
    ]
    return [label.get_text() for label in labels if label.get_text()]


@pytest.mark.parametrize(
    "span",
    [(0.02, 0.0201), (0.02, 0.05), (0.02, 0.19), (0.02, 0.21), (0.09, 1.1), (1e-3, 40), (1e-9, 1e9), (3e-8, 4e-8)],
)
def test_positive_losses_have_a_logarithmic_axis_with_ticks_that_can_be_read(draw, span):
    for axes in draw(log(np.geomspace(*span, 9)[::-1], np.geomspace(*span, 9))):
        assert axes.get_yscale() == "log"
        low, high = axes.get_ylim()
        assert 0 < low <= span[0] and span[1] <= high < 2 * span[1] ** 1.1 / span[0] ** 0.1
        assert 3 <= len(ticks(axes)) <= 13 and len(set(ticks(axes))) == len(ticks(axes))


@pytest.mark.parametrize("losses", [[-3.0, -7.0], [5.0, -1.0], [1.0, 0.0]])
def test_losses_that_are_not_all_positive_have_a_linear_axis(draw, losses):
    for axes in draw(log(losses, losses)):
        assert axes.get_yscale() == "linear"
        assert axes.get_ylim()[0] < min(losses) < max(losses) < axes.get_ylim()[1]


def test_one_loss_that_is_not_positive_of_one_run_makes_all_linear(monkeypatch):
    saved = []
    monkeypatch.setattr(curves, "save_figure", lambda figure, path: saved.append(figure))
    Metrics.loss_curves({"a": [log([1, 2], [1, 2])], "b": [log([1, 2], [1, 2]), log([1, 2], [3, -1])]}, "unused.png")
    assert saved[0].axes[0].get_yscale() == "linear"


def test_a_run_that_failed_leaves_the_others_room(monkeypatch):
    saved = []
    monkeypatch.setattr(curves, "save_figure", lambda figure, path: saved.append(figure))
    good, bad = log([0.05, 0.02], [0.06, 0.03]), log([70, 50], [80, 60])
    Metrics.loss_curves({"good": [good], "bad": [bad]}, "unused.png")
    axes = saved[0].axes[0]
    place = axes.transAxes.inverted().transform(axes.transData.transform([(10, 0.06), (20, 0.03)]))
    assert place[0, 1] - place[1, 1] > 0.05


@pytest.mark.parametrize("losses", [[], [np.nan], [np.nan, np.inf]])
def test_without_a_loss_that_is_a_number_the_picture_says_so(draw, losses):
    for axes in draw(log(losses, losses)):
        assert [text.get_text() for text in axes.texts] == ["no loss that is a number"]


@pytest.mark.parametrize("losses", [[0.3], [0.3, 0.3], [0.0], [-1.0], [1e-300]])
def test_losses_that_are_all_the_same_are_drawn(draw, losses):
    for axes in draw(log(losses, losses)):
        assert axes.get_ylim()[0] < losses[0] < axes.get_ylim()[1] and not axes.texts


def test_the_best_is_the_least_validation_that_is_a_number(draw):
    for axes in draw(log([0.1, 0.2, 0.3, 0.4], [np.nan, 0.5, 0.4, np.inf])):
        stars = [(*line.get_xdata(), *line.get_ydata()) for line in axes.lines if line.get_marker() == "*"]
        assert set(stars) == {(30, 0.4)}


RATES = np.geomspace(1e-6, 1, 50)


@pytest.mark.parametrize(
    "losses",
    [1 / RATES**0.1, -RATES, 0 * RATES, RATES * np.nan, np.where(RATES < 1e-5, np.nan, RATES),
     np.where(RATES > 0.1, np.inf, 1.0), RATES[:1]],
)  # fmt: skip
def test_a_range_test_is_drawn_whatever_it_found(tmp_path, losses):
    Metrics.rate_curve(RATES[: len(losses)], losses, losses, 1e-3, tmp_path / "rate.png")
    assert (tmp_path / "rate.png").stat().st_size > 5000


def test_where_a_range_test_diverges_it_hides_nothing(monkeypatch):
    saved = []
    monkeypatch.setattr(curves, "save_figure", lambda figure, path: saved.append(figure))
    smoothed = np.array([np.nan, 3.0, 2.0, 1.0, 1000.0])
    Metrics.rate_curve(RATES[:5], smoothed, smoothed, 1e-3, "unused.png")
    assert saved[0].axes[0].get_ylim() == (0, 5)
