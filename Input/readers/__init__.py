"""Data sets as they lie on disk -> tracks and their parts, and remarks; each reader lists all faults before it stops.

- `urmp`: NN_Title_inst_inst/AuSep_*, the embedded data set too.
- `musdb`: MUSDB18's five-stream mp4s and MUSDB18-HQ's folders.
- `solos`: <instrument>/<recording>, to be mixed; `ranges`: which seconds of a recording are valid.
- `own_stems`: [<split>/]<track>/<source>, anybody's.
- `layouts`: what they share: which files are sound, safe names, splits that stay.
"""
