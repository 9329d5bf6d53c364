"""Metrics: references + estimates -> numbers, tables, plots.

Conventions
-----------
Axes: T samples, S sources, C channels, F frames. References and estimates are arrays (T, S, C) in the same order of
sources, the mixture is (T, C); any real dtype, computed in float64. s is a reference, e its estimate, x the mixture,
|.|^2 the energy over samples and channels. All scores are in dB. A source *sounds* in a track if its reference has a
sample other than zero, and is *absent* otherwise.

What NaN and infinity mean
- NaN: the number does not exist because the reference is silent there (in the frame, or in the track).
- +inf: the estimate is exact. -inf: the estimate holds nothing of the reference (SI-SDR), or nothing leaks (leakage).
- A silent estimate of a source that sounds is a mistake like any other: it scores 0 dB (SDR, uSDR) or -inf (SI-SDR).
  museval leaves such frames out, for all sources; `framewise_sdr(..., mask="strict")` does as museval does.

Metrics
-------
SDR      10 log10 |s|^2 / |s - e|^2 in frames of 1 s, the last partial frame dropped. The SDR of BSS Eval v4 (images)
         as museval 0.4.1 computes it, to 1e-9 dB: the error's parts (space, interference, artifacts) need filters,
         their sum does not. Vincent et al. 2006, eq. 16; Stöter et al. 2018, section 3. `framewise_sdr`
uSDR     10 log10 (|s|^2 + 1e-7) / (|s - e|^2 + 1e-7) of the whole track. Mitsufuji et al. 2022, eq. 1. `usdr`
SI-SDR   10 log10 |a s|^2 / |a s - e|^2, a = <e, s> / |s|^2, of the whole track, no mean removed, all channels in one
         vector. Le Roux et al. 2019, eq. 2. `si_sdr`
SI-SDRi  SI-SDR of the estimate minus SI-SDR of the mixture taken as the estimate. `score_track`
leakage  10 log10 |e|^2 / |x|^2 of the whole track, for absent sources, which have no ratio. `leakage_db`
PES      10 log10 |e|^2 + 1e-12 in the frames in which the source is silent. Schulze-Forster et al. 2019. `pes_db`

On demand, `score_track(..., metrics="all")`, for they take many times as long:
ISR      10 log10 |s|^2 / |Pj - s|^2, Pj the reference through the 512-tap filters that bring it nearest to e.
SIR      10 log10 |Pj|^2 / |P - Pj|^2, P all references through such filters.
SAR      10 log10 |P|^2 / |e - P|^2. The three of BSS Eval v4 in frames of 1 s, as museval 0.4.1 gives them to 1e-5 dB;
         v3 and the kind "sources" on request. Vincent et al. 2012; Stöter et al. 2018. `bss_eval`
LSD      root mean square difference of two log spectra in dB, lower is better. Gray and Markel 1976.
         `log_spectral_distance_db`

Anchors: every score stands beside those of two estimates that separate nothing: the mixture itself, and silence (SDR
0 dB); and, on demand, beside those of masks made from the true sources, bounds for all that mask the mixture's spectrum
(IBM, IRM, MWF: `oracle_estimates`). A pair of track and source is *trivial* if the mixture's SI-SDR is 60 dB or more:
it plays alone. Trivial pairs stay in the files and count in no aggregate. Where the mixture is not known, it has no
scores, and there is neither SI-SDRi nor leakage.

Every one of these takes a shift in time for an error: `best_alignment` finds whether there is one.

Aggregations (`summarise` names them in its column `aggregation`)
------------
frames          frames of all tracks pooled; median, MAD (unscaled), mean and SD (population), as in the table of
                Stoller et al. 2018, "Wave-U-Net".
track medians   median over a track's frames first. The median of these is museval's and SiSEC 2018's number, their
                mean Demucs's (Défossez et al. 2019).
tracks          one number a track. The mean of uSDR is the Music Demixing Challenge's.
The row "all" pools the values of all sources.

Files
-----
`write_track_scores` keeps a track's rows as csv and its SDR, ISR, SIR and SAR as json in museval's form; `read_scores`
reads either.
"""

from .alignment import Alignment, best_alignment
from .bss_eval import BssEval, bss_eval
from .curves import Log, loss_curve, loss_curves, rate_curve
from .oracles import ORACLES, oracle_estimates
from .paired import (
    PROBE_NOTE,
    Paired,
    compare_runs,
    paired_difference,
    probe_changes,
    probe_table,
    track_scores,
)
from .plots import run_colour, score_boxplot, score_heatmap
from .recognition import RECOGNITION_NOTE, THRESHOLD, recognition_summary, recognition_table
from .report import Passage, Picture, Sound, Table, write_report
from .scores import museval_json, read_scores, score_track, write_track_scores
from .sdr import framewise_sdr, leakage_db, pes_db, si_sdr, usdr
from .signals import liveliest, sounding_sources
from .spectral import log_spectral_distance_db
from .spectrograms import separation_figure, spectrogram_grid
from .summary import TRIVIAL_DB, summarise
from .tables import run_table, source_table, summary_notes, summary_tables, table

__all__ = [
    "Alignment",
    "BssEval",
    "Log",
    "ORACLES",
    "PROBE_NOTE",
    "Paired",
    "Passage",
    "Picture",
    "RECOGNITION_NOTE",
    "Sound",
    "THRESHOLD",
    "TRIVIAL_DB",
    "Table",
    "best_alignment",
    "bss_eval",
    "compare_runs",
    "framewise_sdr",
    "leakage_db",
    "liveliest",
    "log_spectral_distance_db",
    "loss_curve",
    "loss_curves",
    "rate_curve",
    "museval_json",
    "oracle_estimates",
    "paired_difference",
    "pes_db",
    "probe_changes",
    "probe_table",
    "read_scores",
    "recognition_summary",
    "recognition_table",
    "run_colour",
    "run_table",
    "score_boxplot",
    "score_heatmap",
    "score_track",
    "separation_figure",
    "si_sdr",
    "sounding_sources",
    "source_table",
    "spectrogram_grid",
    "summarise",
    "summary_notes",
    "summary_tables",
    "table",
    "track_scores",
    "usdr",
    "write_report",
    "write_track_scores",
]
