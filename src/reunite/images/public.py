"""Published data sets: a declaration each.

None is downloaded; each is read from where its owner unpacked it. The numbers of images are those of the papers.
Identity -1 is junk (kept in the gallery, where scoring ignores it), 0 in Market-1501 is a distractor.
"""

from __future__ import annotations

from dataclasses import replace

from reunite.images.layouts import NamePattern

market_style = NamePattern(
    name="",
    pattern=r"(?P<identity>-?\d+)_c(?P<camera>\d+)",
    train="bounding_box_train",
    query="query",
    gallery="bounding_box_test",
)
"""Anything packed like Market-1501, CUHK03-NP among others; named after its folder."""

market1501 = replace(
    market_style, name="Market-1501", pattern=r"(?P<identity>-?\d+)_c(?P<camera>[1-6])s[1-6]_\d{6}_\d{2}\D"
)
"""Zheng et al. 2015: 12,936 train, 3,368 query, 19,732 gallery images with 3,819 junk; 6 cameras."""

dukemtmc_reid = replace(market_style, name="DukeMTMC-reID", pattern=r"(?P<identity>\d+)_c(?P<camera>[1-8])_f\d+")
"""Ristani et al. 2016, Zheng et al. 2017: 16,522 train, 2,228 query, 17,661 gallery images; 8 cameras. Withdrawn."""

personx = replace(market_style, name="PersonX", pattern=r"(?P<identity>-?\d+)_c(?P<camera>\d+)s\d+")
"""Sun and Zheng 2019, rendered: 9,840 train, 5,136 query, 30,816 gallery images; 6 cameras, numbered 3 to 12."""

msmt17_v1 = NamePattern(
    name="MSMT17_V1",
    pattern=r"(?P<identity>\d+)_\d+_(?P<camera>\d+)_",
    train="train",
    query="test",
    gallery="test",
    train_lists=("list_train.txt", "list_val.txt"),
    query_lists=("list_query.txt",),
    gallery_lists=("list_gallery.txt",),
)
"""Wei et al. 2018: 32,621 train (the validation list included, as Cluster Contrast trains), 11,659 query, 82,161
gallery images; 15 cameras. Identities are those of the lists; train and test both count from 0 and share none."""

msmt17_v2 = replace(msmt17_v1, name="MSMT17_V2", train="mask_train_v2", query="mask_test_v2", gallery="mask_test_v2")
"""MSMT17 with blurred faces: scores on it are not those on V1."""

veri776_folders = NamePattern(
    name="VeRi-776",
    pattern=r"(?P<identity>\d+)_c(?P<camera>\d+)",
    train="image_train",
    query="image_query",
    gallery="image_test",
)
"""VeRi-776 without its lists of names: every image in the folders."""

veri776 = replace(
    veri776_folders,
    train_lists=("name_train.txt",),
    query_lists=("name_query.txt",),
    gallery_lists=("name_test.txt",),
)
"""Liu et al. 2016: 37,778 train, 1,678 query, 11,579 gallery images of vehicles; 20 cameras."""

PUBLIC = (
    market1501,
    dukemtmc_reid,
    personx,
    market_style,
    msmt17_v1,
    msmt17_v2,
    veri776,
    veri776_folders,
)
"""What `read` knows. Where several fit equally well, the first counts (see `best_pattern`)."""
