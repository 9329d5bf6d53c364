"""Names in pictures: in any script, of any length, with whatever fonts there are. Warnings are errors here."""

import Metrics
from Metrics import figures
from tests.metrics_rows import rows_of

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

FONTS = f"{matplotlib.get_data_path()}/fonts/ttf"
NAMES = ["小提琴 🎻", "Скрипка", "$x^{$", "_hidden", "a\tb caf\udce9", "w" * 200]


@pytest.fixture
def only(monkeypatch):
    """Sets which files there are besides DejaVu Sans."""

    def install(*fonts):
        monkeypatch.setattr(figures, "findSystemFonts", lambda: [f"{FONTS}/{font}.ttf" for font in fonts])
        figures._family_of.cache_clear()

    yield install
    figures._family_of.cache_clear()


@pytest.fixture
def drawn(monkeypatch):
    """The words of every figure that was saved."""
    words, write = [], Figure.savefig

    def save(figure, path, **settings):
        write(figure, path, format="png", dpi=50)
        words.extend(text.get_text() for text in figure.findobj(Text) if text.get_text())

    monkeypatch.setattr(Figure, "savefig", save)
    return words


def pictures(names):
    """Each picture that has names in it, of runs, tracks and sources that are called so."""
    scores = {(t, n, m, k): [v] for t in names for n in names for m, k, v in (
        ("estimate", "SI-SDR", 5.0), ("mixture", "SI-SDR", 1.0), ("estimate", "SDR", 4.0))}  # fmt: skip
    rows = rows_of(scores)
    runs = pd.concat([rows.assign(run=name) for name in names])
    noise = np.random.default_rng(0).standard_normal((4000, len(names), 1))
    log = [{"step": step, "loss": 0.3 / step, "validation_loss": 0.4 / step} for step in (1, 2, 3)]
    yield lambda path: Metrics.score_boxplot(runs, path)
    yield lambda path: Metrics.score_heatmap(Metrics.track_scores(runs, "SDR"), "SDR of each track", path)
    yield lambda path: Metrics.loss_curves({name: [log] for name in names}, path)
    yield lambda path: Metrics.separation_figure(noise.sum(axis=1), noise, noise[:, ::-1], names, 8000, path)
    yield lambda path: Metrics.spectrogram_grid([[(name, noise[:, 0])] for name in names], 8000, path)


@pytest.mark.slow
@pytest.mark.parametrize("dejavu_alone", [True, False])
@pytest.mark.parametrize("which", range(5))
def test_every_picture_can_be_drawn_whatever_the_names_are(tmp_path, drawn, only, which, dejavu_alone):
    if dejavu_alone:
        only()
    list(pictures(NAMES))[which](tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5000
    for name in (r"\$x^{\$", "_hidden", "Скрипка", *([r"\u5c0f\u63d0\u7434"] if dejavu_alone else [])):
        assert any(name in text for text in drawn), name


# The last resort has a box for every letter; of the italics the upright font of their family lacks U+FB37.
@pytest.mark.parametrize("fonts", [[], ["LastResortHE-Regular"], ["DejaVuSans-Oblique"], ["none_such"]])
def test_what_no_font_has_is_escaped_and_all_else_stays(only, fonts):
    only(*fonts)
    assert figures.readable("小提琴 a") == r"\u5c0f\u63d0\u7434 a"
    assert figures.readable("\tb🎻\udce9\ufb37") == r"\tb\U0001f3bb\udce9\ufb37"
    for name in ("Скрипка", "Ärzte", "plain name-1_x.y", "كمان", "Ωδή"):
        assert figures.readable(name) == name


def test_a_font_that_has_a_letter_draws_it_and_dejavu_the_others(only, tmp_path):
    only("none_such", "STIXGeneral")
    figure = Figure()
    figure.text(0.5, 0.5, figures.readable("violin ᶁ 弓"))
    figures.save_figure(figure, tmp_path / "picture.png")  # where a letter has no font matplotlib warns
    assert figure.texts[0].get_text() == r"violin ᶁ \u5f13"
    assert figure.texts[0].get_fontfamily() == ["sans-serif", "STIXGeneral"]


def test_a_font_that_was_installed_after_matplotlib_listed_them_is_found(only, tmp_path, monkeypatch):
    listed = [entry for entry in fontManager.ttflist if entry.name != "STIXNonUnicode"]
    monkeypatch.setattr(fontManager, "ttflist", listed)
    only("STIXNonUni")
    figure = Figure()
    figure.text(0.5, 0.5, figures.readable("\ue000"))
    figures.save_figure(figure, tmp_path / "picture.png")
    assert figure.texts[0].get_text() == "\ue000" and figure.texts[0].get_fontfamily()[-1] == "STIXNonUnicode"


@pytest.mark.parametrize("name", ["short", "a" * 34, "a" * 20 + "b" * 20, "ж" * 35, "a" * 999])
def test_of_a_long_name_the_middle_is_left_out(name):
    shown = figures.readable(name)
    head, _, tail = shown.partition("…")
    assert shown == name if len(name) <= 34 else (len(head), len(tail)) == (17, 17)
    assert name.startswith(head) and name.endswith(tail)


def test_wide_letters_count_twice(monkeypatch):
    monkeypatch.setattr(figures, "_family_of", lambda letter: "a font of CJK")
    assert figures.readable("長" * 17) == "長" * 17
    assert figures.readable("長" * 18) == "長" * 8 + "…" + "長" * 8
    assert figures.readable("a" + "長" * 20 + "bc") == "a" + "長" * 8 + "…" + "長" * 7 + "bc"


def test_runs_whose_names_differ_at_the_end_can_be_told_apart():
    runs = [f"urmp-film-every_output-levels=6-rate=0.0003-seed={seed}" for seed in range(9)]
    assert len({figures.readable(run) for run in runs}) == 9


def test_every_run_is_in_the_legend_of_the_curves(monkeypatch):
    saved = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **settings: saved.append(figure))
    log = [{"step": 1, "loss": 0.1, "validation_loss": 0.2}]
    Metrics.loss_curves({"_a": [log], "b": [log, log]}, "unused.png")
    assert [text.get_text() for text in saved[0].legends[0].get_texts()] == ["_a", "b"]
