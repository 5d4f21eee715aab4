"""The rules that turn a listing into train, query and gallery."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reunite.errors import InputError, ReaderError
from reunite.images.splits import Listing, coded, counted, dataset_of, divide_identities, first_three


def test_whole_numbers_keep_their_value() -> None:
    codes, names = coded(["0002", "-1", "", "7.0", "0"], "identity")
    assert codes.tolist() == [2, -1, -1, 7, 0]
    assert names == ()


def test_names_are_coded_in_sorted_order() -> None:
    codes, names = coded(["zoë", "anna", "", "12", "anna"], "identity")
    assert names == ("12", "anna", "zoë")
    assert codes.tolist() == [2, 1, -1, 0, 1]


def test_numbers_that_would_collide_are_names() -> None:
    codes, names = coded(["02", "2"], "identity")
    assert codes.tolist() == [0, 1]
    assert names == ("02", "2")


def test_numbers_too_long_for_a_code_are_names() -> None:
    assert coded(["1" * 30, "2"], "identity")[1] == ("1" * 30, "2")


def test_numbers_below_minus_one_are_refused() -> None:
    with pytest.raises(ReaderError, match=r"camera holds -3"):
        coded(["-3", "2"], "camera")


@given(st.lists(st.integers(-1, 12), max_size=60), st.integers(0, 5))
@settings(deadline=None, max_examples=50)
def test_identities_are_divided_in_halves(identity: list[int], seed: int) -> None:
    labels = np.array(identity, dtype=np.int64)
    test = divide_identities(labels, seed)
    train_identities, test_identities = set(labels[~test]) - {-1}, set(labels[test])
    assert not train_identities & test_identities
    assert -1 not in test_identities
    assert len(train_identities) - len(test_identities) in (0, 1)
    assert np.array_equal(test, divide_identities(labels, seed))


def test_the_division_depends_on_identities_and_seed_alone() -> None:
    labels = np.repeat(np.arange(8), 3)
    shuffled = np.random.default_rng(1).permutation(len(labels))
    assert np.array_equal(divide_identities(labels, 0)[shuffled], divide_identities(labels[shuffled], 0))
    # Scores are only comparable while this stays as it is, so it is written down.
    assert sorted(set(labels[divide_identities(labels, 0)].tolist())) == [0, 1, 5, 7]
    assert any(not np.array_equal(divide_identities(labels, 0), divide_identities(labels, seed)) for seed in (1, 2, 3))


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="split_seed must be 0 or more; got -1"):
        dataset_of(Listing("x", ["/a", "/b"], ["1", "2"]), split_seed=-1)


def test_without_a_split_every_test_image_is_query_and_gallery() -> None:
    paths = [f"/{image:02d}.png" for image in range(10)]
    identity = ["0", "0", "1", "1", "2", "2", "3", "3", "", "-1"]
    dataset = dataset_of(Listing("x", paths[::-1], identity[::-1]))
    assert len(dataset.train) == 6
    assert dataset.train.identity.tolist().count(-1) == 2
    assert dataset.query.paths.tolist() == dataset.gallery.paths.tolist()
    assert not set(dataset.query.identity) & set(dataset.train.identity)
    assert all(part.paths.tolist() == sorted(part.paths.tolist()) for part in (dataset.train, dataset.query))
    assert dataset.note == (
        "No split is given: seed 0 put 2 of 4 identities into train and 2 into test, where every image is a query "
        "against all others. 2 images of unknown identity joined train."
    )


def test_too_few_identities_are_all_for_training() -> None:
    dataset = dataset_of(Listing("x", ["/a", "/b", "/c"], ["1", "2", "3"]))
    assert (len(dataset.train), len(dataset.query), len(dataset.gallery)) == (3, 0, 0)
    assert "3 identities cannot be divided (4 are needed)" in dataset.note


def test_without_identities_all_is_for_training() -> None:
    dataset = dataset_of(Listing("x", ["/a"]))
    assert (len(dataset.train), len(dataset.query), len(dataset.gallery)) == (1, 0, 0)
    assert dataset.note == "No identity is known: every image is in train, query and gallery are empty."
    assert dataset.train.camera.tolist() == [-1]
    assert np.isnan(dataset.train.time).all()


def test_a_given_split_is_used_and_what_it_leaves_out_is_counted() -> None:
    paths = ["/f", "/e", "/d", "/c", "/b", "/a", "/g"]
    split = ["train", "query", "gallery", "test", "val", "", "val"]
    dataset = dataset_of(Listing("x", paths, ["1"] * 7, time=np.arange(7.0).tolist(), split=split, origin="The column"))
    assert dataset.train.paths.tolist() == ["/f"]
    assert dataset.query.paths.tolist() == ["/c", "/e"]
    assert dataset.gallery.paths.tolist() == ["/c", "/d"]
    assert dataset.gallery.time.tolist() == [3.0, 2.0]
    assert dataset.note == "The column; 2 validation images left out; 1 unassigned image left out."


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (["query", "train"], "1 query image but no gallery"),
        (["gallery", "gallery"], "2 gallery images but no query"),
        (["val", "val"], "leaves no image for train, query or gallery"),
    ],
)
def test_splits_that_cannot_be_used(split: list[str], message: str) -> None:
    with pytest.raises(ReaderError, match=message):
        dataset_of(Listing("x", ["/a", "/b"], ["1", "2"], split=split, origin="The column"))


@pytest.mark.parametrize("split", [(), ["query", "test", "gallery"]])
def test_the_same_file_twice_in_one_part_is_refused(split: list[str]) -> None:
    with pytest.raises(ReaderError, match="lists 1 file more than once: '/a'"):
        dataset_of(Listing("x", ["/a", "/a", "/b"], split=split))


def test_the_same_file_may_be_query_and_gallery() -> None:
    dataset = dataset_of(Listing("x", ["/a", "/a"], ["1", "1"], split=["query", "gallery"]))
    assert (len(dataset.query), len(dataset.gallery)) == (1, 1)


def test_words_of_messages() -> None:
    assert [counted(n, "identity") for n in (1, 2)] == ["1 identity", "2 identities"]
    assert counted(1234, "image") == "1,234 images"
    assert first_three(["a b", "c"]) == "'a b', 'c'"
    assert first_three(["a", "b", "c", "d"]) == "'a', 'b', 'c', ..."
