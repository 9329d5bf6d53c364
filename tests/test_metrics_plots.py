"""What the pictures show, read back from the figures; and the files they become."""

import subprocess
import sys
from typing import Any

import Metrics
from Metrics import plots, spectrograms
from tests.metrics_rows import rows_of

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

RATE = 8000


@pytest.fixture
def figures(monkeypatch):
    """The figures that would have been saved."""
    saved = []
    for module in (plots, spectrograms):
        monkeypatch.setattr(module, "save_figure", lambda figure, path: saved.append(figure))
    return saved


def many_scores():
    """Violin 5 dB, flute 8 dB, clarinet -inf, a trivial horn; their mixtures 7 dB below; one infinite frame."""
    rng = np.random.default_rng(0)
    scores: dict[tuple[str, ...], Any] = {}
    for track in range(12):
        for source, level in (("vn", 5), ("fl", 8)):
            for method, below in (("estimate", 0), ("mixture", 7)):
                scores[f"t{track}", source, method, "SDR"] = level - below + rng.standard_normal(9)
                scores[f"t{track}", source, method, "SI-SDR"] = [level - below + (track - 5.5) / 10]
        scores[f"t{track}", "cl", "estimate", "SI-SDR"] = [-np.inf]
        scores[f"t{track}", "hn", "estimate", "SI-SDR"] = [100]
        scores[f"t{track}", "hn", "mixture", "SI-SDR"] = [300]
    scores["t0", "vn", "mixture", "SDR"][0] = np.inf
    return rows_of(scores)


def test_boxes_are_sorted_and_stand_on_the_medians(figures):
    rows = many_scores()
    Metrics.score_boxplot(rows, "unused.png")
    si_sdr, sdr = figures[0].axes
    assert [label.get_text() for label in si_sdr.get_xticklabels()] == ["fl\n12", "vn\n12", "cl\n0", "all\n24"]
    assert [label.get_text() for label in sdr.get_xticklabels()] == ["fl\n108", "vn\n108", "cl\n0", "all\n216"]
    medians = [line.get_ydata()[0] for line in si_sdr.lines if line.get_linewidth() == 2.4]
    np.testing.assert_allclose(medians, [8, 5, 6.5, 1, -2, -0.5], atol=1e-9)
    violin = rows[(rows["source"] == "vn") & (rows["metric"] == "SDR") & np.isfinite(rows["value"])]
    medians = [line.get_ydata()[0] for line in sdr.lines if line.get_linewidth() == 2.4]
    assert medians[1] == pytest.approx(violin[violin["method"] == "estimate"]["value"].median())
    assert medians[4] == pytest.approx(violin[violin["method"] == "mixture"]["value"].median())


def test_few_values_are_dots_and_many_are_not(figures):
    Metrics.score_boxplot(many_scores(), "unused.png")
    dots = [[len(line.get_ydata()) for line in axes.lines if line.get_marker() == "o"] for axes in figures[0].axes]
    assert dots == [[12, 12, 24] * 2, []]


def test_zero_is_marked_and_in_sight(figures):
    Metrics.score_boxplot(many_scores(), "unused.png")
    for axes in figures[0].axes:
        assert any(list(line.get_ydata()) == [0, 0] for line in axes.lines)
        assert axes.get_ylim()[0] < 0 < axes.get_ylim()[1]


def test_an_estimate_without_a_finite_number_has_no_box_and_is_named(figures):
    scores = {("t", "vn", "estimate", "SI-SDR"): [-np.inf], ("t", "vn", "mixture", "SI-SDR"): [3.0]}
    Metrics.score_boxplot(rows_of(scores), "unused.png")
    axes = figures[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["vn\n0", "all\n0"]
    assert [line.get_ydata()[0] for line in axes.lines if line.get_linewidth() == 2.4] == [3, 3]


def words(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(
    ("score", "of_mixture", "says_trivial"), [(np.nan, np.nan, False), (-np.inf, -np.inf, False), (23.0, np.inf, True)]
)
def test_where_no_score_counts_the_picture_says_so(figures, score, of_mixture, says_trivial):
    for sources in (["vn"], ["vn", "vc"]):
        scores = {
            ("t", source, method, metric): [score if method == "estimate" else of_mixture]
            for source in sources for method in ("estimate", "mixture") for metric in ("SDR", "SI-SDR")
        }  # fmt: skip
        Metrics.score_boxplot(rows_of(scores), "unused.png")
        for axes, metric in zip(figures.pop().axes, ("SI-SDR", "SDR"), strict=True):
            assert {f"{source}\n0" for source in [*sources, "all"]} == {
                label.get_text() for label in axes.get_xticklabels()
            }
            assert f"no finite {metric} that counts" in words(axes)[0]
            assert ("trivial" in words(axes)[0]) == says_trivial


def test_without_any_rows_the_picture_says_so(figures):
    Metrics.score_boxplot(many_scores()[:0], "unused.png")
    Metrics.score_heatmap(pd.DataFrame(), "SDR", "unused.png")
    boxes, heatmap = figures
    assert ["no finite" in words(axes)[0] for axes in boxes.axes] == [True, True]
    assert words(heatmap.axes[0]) == ["no track with a score"]


def test_one_score_is_drawn_beside_nothing(figures):
    Metrics.score_boxplot(rows_of({("t", "vn", "estimate", "SDR"): [5.0]}), "unused.png")
    si_sdr, sdr = figures[0].axes
    assert [label.get_text() for label in sdr.get_xticklabels()] == ["vn\n1", "all\n1"]
    assert [line.get_ydata()[0] for line in sdr.lines if line.get_linewidth() == 2.4] == [5, 5]
    assert "no finite SI-SDR" in words(si_sdr)[0] and not any("no finite" in text for text in words(sdr))
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["model's estimate"]


def test_a_run_of_trivial_pairs_alone_keeps_the_colours_of_the_others(figures):
    rows = many_scores()
    trivial = rows[rows["source"] == "hn"].assign(run="a")
    Metrics.score_boxplot(pd.concat([trivial, rows.assign(run="b")]), "unused.png")
    medians = [line for line in figures[0].axes[0].lines if line.get_linewidth() == 2.4]
    assert {line.get_color() for line in medians} == {Metrics.run_colour(1)}


def test_a_heatmap_has_the_best_track_on_top_and_no_colour_where_there_is_no_number(figures):
    scores = pd.DataFrame({"x": [1.0, 5.0, np.nan], "y": [2.0, np.nan, np.nan]}, index=["low", "high", "none"])
    Metrics.score_heatmap(scores, "SDR", "unused.png")
    axes = figures[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["high", "low", "none"]
    assert words(axes) == ["5.0", "-", "1.0", "2.0", "-", "-"]
    assert axes.images[0].get_array().mask.sum() == 3


def test_infinite_scores_do_not_move_the_colours_of_the_others(figures):
    Metrics.score_heatmap(pd.DataFrame({"x": [np.inf, 4.0], "y": [-np.inf, -2.0]}), "SDR", "unused.png")
    assert figures[0].axes[0].images[0].get_clim() == (-4, 4)


def test_several_runs_have_boxes_side_by_side_and_the_mixture_once(figures):
    rows = many_scores()
    better = rows.assign(run="b", value=rows["value"] + 2 * (rows["method"] == "estimate"))
    Metrics.score_boxplot(pd.concat([rows.assign(run="a"), better]), "unused.png")
    si_sdr = figures[0].axes[0]
    boxes = [(line.get_xdata().mean(), line.get_ydata()[0]) for line in si_sdr.lines if line.get_linewidth() == 2.4]
    flute = sorted(box for box in boxes if abs(box[0]) < 0.5)
    assert [round(level, 6) for _, level in flute] == [8, 10, 1]
    assert np.ptp(np.diff([place for place, _ in flute])) == pytest.approx(0, abs=1e-9)
    labels = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert labels == ["a", "b", "mixture as the estimate"]


@pytest.mark.parametrize("hz", [60, 440, 1000, 3700])
@pytest.mark.parametrize("seconds", [0.05, 2, 40])
def test_a_tone_is_brightest_in_its_band(hz, seconds):
    tone = np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)
    energies = spectrograms._band_energies(np.stack([tone, -tone], axis=1), RATE)
    assert energies.shape[0] == spectrograms.BANDS and energies.shape[1] <= 1.1 * spectrograms.COLUMNS_UP_TO
    edges = np.geomspace(spectrograms.LOWEST_HZ, RATE / 2, spectrograms.BANDS + 1)
    band = energies[:, energies.shape[1] // 2].argmax()
    # As near as the bands and the bins (of half a window's resolution) allow.
    assert edges[band] * edges[band + 1] == pytest.approx(hz**2, rel=2 * (edges[1] / edges[0] - 1) + 4 / hz)
    # A steady tone is equally bright throughout, however many excerpts a column is the mean of.
    steady = energies[band, 4:-4]
    assert seconds < 1 or steady.max() < 1.05 * steady.min()


@pytest.fixture
def duet():
    """A clarinet that rests in the second half and a violin; the flute is absent; mono, 2 s."""
    time = np.arange(2 * RATE) / RATE
    clarinet = np.where(time < 1, np.sin(2 * np.pi * 300 * time), 0)
    references = np.stack([clarinet, 0 * time, 0.1 * np.sin(2 * np.pi * 2000 * time)], axis=1)[:, :, np.newaxis]
    return {
        "mixture": references.sum(axis=1),
        "references": references,
        "estimates": references + 0.01 * references[:, ::-1],
        "sources": ("cl", "fl", "vn"),
        "sample_rate_hz": RATE,
    }


def test_spectrograms_share_one_scale_and_show_what_sounds(figures, duet):
    Metrics.separation_figure(**duet, path="unused.png")
    panels = [axes for axes in figures[0].axes if axes.images]
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles[:2] == ["mixture", "sum of the estimates"]
    assert [title.split(":")[0] for title in titles[2:]] == [
        "cl, reference", "cl, estimate", "vn, reference", "vn, estimate",
    ]  # fmt: skip
    assert {axes.images[0].get_clim() for axes in panels} == {(-70, 0)}
    mixture, _, clarinet, _, violin, leaky_violin = (axes.images[0].get_array() for axes in panels)
    assert mixture.max() == pytest.approx(0)
    columns = clarinet.shape[1]
    assert clarinet[:, : columns // 3].max() > -1 and clarinet[:, 2 * columns // 3 :].max() == -70
    assert violin[:, columns // 3].max() == pytest.approx(-20, abs=1.5)
    # the clarinet leaks into the violin's estimate at -40 dB: where the violin itself has nothing
    band = clarinet[:, columns // 4].argmax()
    assert violin[band, columns // 4] < -60
    assert leaky_violin[band, columns // 4] == pytest.approx(-40, abs=1)


def test_a_loud_estimate_does_not_move_the_scale(figures, duet):
    roar = 1000 * np.random.default_rng(0).standard_normal(duet["references"].shape)
    Metrics.separation_figure(**duet | {"estimates": roar}, path="unused.png")
    panels = [axes for axes in figures[0].axes if axes.images]
    assert min(axes.images[0].get_array().min() for axes in panels[1::2]) > -70
    assert {axes.images[0].get_clim() for axes in panels} == {(-70, 0)}


def test_titles_tell_the_scores(figures, duet):
    references = duet["references"]
    Metrics.separation_figure(**duet | {"estimates": references + 0.1 * references[:, ::-1]}, path="unused.png")
    titles = [axes.get_title(loc="left") for axes in figures[0].axes if axes.images]
    # energies: clarinet 1/2, violin 2/100; the estimates err by a tenth (-20 dB) of the other
    assert titles[3] == f"cl, estimate: SI-SDR {20 + 10 * np.log10(50):.1f} dB (mixture {10 * np.log10(50):.1f} dB)"
    assert titles[5] == f"vn, estimate: SI-SDR {20 - 10 * np.log10(50):.1f} dB (mixture {-10 * np.log10(50):.1f} dB)"


def brightest(figure):
    """The brightest point of each panel by its title, in dB."""
    panels = [axes for axes in figure.axes if axes.images]
    return {axes.get_title(loc="left"): axes.images[0].get_array().max() for axes in panels}


def test_a_mixture_that_is_not_known_has_no_panel(figures, duet):
    Metrics.separation_figure(**duet | {"mixture": None}, path="unused.png")
    titles = list(brightest(figures[0]))
    assert [title.split(":")[0] for title in titles] == [
        "cl, reference",
        "cl, estimate",
        "vn, reference",
        "vn, estimate",
    ]
    assert not any("mixture" in title for title in titles)
    assert brightest(figures[0])["cl, reference"] == pytest.approx(0)


def test_one_source_that_is_the_mixture_is_drawn(figures, duet):
    clarinet = {name: duet[name][:, :1] for name in ("references", "estimates")}
    Metrics.separation_figure(**duet | clarinet | {"mixture": clarinet["references"][:, 0], "sources": ["cl"]}, path="")
    assert list(brightest(figures[0]).values())[::2] == pytest.approx([0, 0])
    assert "(mixture inf dB)" in list(brightest(figures[0]))[3]


def test_where_no_reference_sounds_the_loudest_estimate_sets_the_scale(figures, duet):
    silence = {name: 0 * duet[name] for name in ("mixture", "references")}
    Metrics.separation_figure(**duet | silence, path="unused.png")
    found = brightest(figures[0])
    assert found["mixture"] == found["vn, reference"] == -70 and found["sum of the estimates"] == pytest.approx(0)
    assert set(found) == {"mixture", "sum of the estimates"} | {
        f"{name}, {what}" for name in duet["sources"] for what in ("reference", "estimate")
    }
    Metrics.separation_figure(**duet | silence | {"estimates": silence["references"]}, path="unused.png")
    assert set(brightest(figures[1]).values()) == {-70}


@pytest.mark.slow
@pytest.mark.parametrize("rate", [101, 8000, 48000])
@pytest.mark.parametrize("samples", [0, 1, 2, 777])
def test_a_grid_of_signals_of_any_length_is_written(tmp_path, samples, rate):
    signals = [
        ("loud", np.ones((samples, 1))),
        ("faint", np.full((samples, 1), 1e-200)),
        ("silent", np.zeros((samples, 1))),
    ]
    Metrics.spectrogram_grid([signals, signals[::-1]], rate, tmp_path / "grid.png")
    assert (tmp_path / "grid.png").stat().st_size > 5000


def test_a_picture_needs_signals_that_fit(duet, tmp_path):
    path = tmp_path / "spectrograms.png"
    for change, message in (
        ({"mixture": duet["mixture"][1:]}, "mixture: expected the shape"),
        ({"estimates": duet["estimates"][1:]}, "estimates: expected 16000 samples"),
    ):
        with pytest.raises(ValueError, match=message):
            Metrics.separation_figure(**duet | change, path=path)
    assert not path.exists()


def test_both_pictures_are_png_files_and_leave_nothing_beside_them(duet, tmp_path):
    (tmp_path / "new").mkdir()
    Metrics.separation_figure(**duet, path=tmp_path / "new" / "spectrograms.png")
    Metrics.score_boxplot(many_scores(), tmp_path / "new" / "boxes.png")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["boxes.png", "spectrograms.png"]
    for path in (tmp_path / "new").iterdir():
        picture = imread(path)
        assert min(picture.shape[:2]) > 400 and picture.std() > 0.05


def test_pyplot_stays_away():
    code = "import sys, Metrics; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
