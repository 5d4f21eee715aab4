"""Images in groups, against the definition in loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import tracklets as oracle
from reunite.errors import InputError
from reunite.images.tracklets import Frames, each_alone, group_tracklets
from reunite.types import Images


def images(track, camera=None, time=None, identity=None) -> Images:
    return Images.of([f"{row}.jpg" for row in range(len(track))], identity, camera, track, time)


def rows_of(units) -> list[list[int]]:
    return [units.frames_of(number).tolist() for number in range(len(units))]


COLUMNS = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-1, 3), min_size=n, max_size=n),
        st.lists(st.integers(-1, 2), min_size=n, max_size=n),
        st.lists(st.one_of(st.just(float("nan")), st.integers(0, 3).map(float)), min_size=n, max_size=n),
        st.lists(st.integers(0, 1), min_size=n, max_size=n),
    )
)


@given(COLUMNS)
def test_groups_are_those_of_the_definition(columns):
    track, camera, time, part = columns
    some = images(track, camera, time)
    assert rows_of(group_tracklets(some)) == oracle.groups(some)
    assert rows_of(group_tracklets(some, np.array(part))) == oracle.groups(some, part)


def test_a_track_number_belongs_to_its_camera():
    units = group_tracklets(images([1, 1, 2, 1, -1, -1], camera=[1, 2, 1, 1, 1, 1]))
    assert rows_of(units) == [[0, 3], [1], [2], [4], [5]]
    assert units.lengths.tolist() == [2, 1, 1, 1, 1]
    assert units.owners.tolist() == [0, 0, 1, 2, 3, 4]


def test_frames_come_in_order_of_time_where_it_is_known():
    units = group_tracklets(images([7, 7, 7, 8, 8], time=[3, 1, 2, 5, float("nan")]))
    assert rows_of(units) == [[1, 2, 0], [3, 4]]


def test_the_head_is_the_middle_frame_with_what_is_known():
    units = group_tracklets(images([5, 5, 5, 5, 6], camera=[2] * 5, identity=[-1, 9, -1, 9, -1], time=[0, 1, 2, 3, 4]))
    heads = units.heads
    assert heads.paths.tolist() == ["1.jpg", "4.jpg"]
    assert heads.identity.tolist() == [9, -1]
    assert heads.camera.tolist() == [2, 2] and heads.track.tolist() == [5, 6] and heads.time.tolist() == [1, 4]


def test_tracks_that_show_two_identities_are_refused():
    with pytest.raises(InputError, match="track 4 of camera 1 shows 2 and 3, and 1 more tracks"):
        group_tracklets(images([4, 4, 4, 5, 6, 6], camera=[1] * 6, identity=[2, -1, 3, 3, 1, 0]))


def test_each_alone_forgets_tracks():
    some = images([1, 1, 1], identity=[4, 5, 6])
    units = each_alone(some)
    assert rows_of(units) == [[0], [1], [2]]
    assert units.heads.identity.tolist() == [4, 5, 6] and units.heads.paths.tolist() == some.paths.tolist()


def test_take_and_at_most():
    units = group_tracklets(images([0] * 10 + [1] * 3 + [2]))
    assert rows_of(units.take(np.array([2, 0]))) == [[13], list(range(10))]
    assert rows_of(units.at_most(4)) == [[0, 3, 6, 9], [10, 11, 12], [13]]
    assert rows_of(units.at_most(1)) == [[0], [10], [13]]
    assert units.at_most(10) is units
    assert len(units.take(np.empty(0, np.int64))) == 0
    assert len(group_tracklets(images([])).at_most(3)) == 0


@given(st.lists(st.integers(1, 25), min_size=1, max_size=6), st.integers(1, 20), st.integers(0, 5))
def test_a_drawing_is_ordered_and_repeats_only_what_is_short(lengths, frames, seed):
    units = group_tracklets(images(np.repeat(np.arange(len(lengths)), lengths)))
    numbers = np.arange(len(lengths))
    drawn = units.draw(numbers, frames, np.random.default_rng(seed))
    assert drawn.shape == (len(lengths), frames)
    for number, rows in zip(numbers, drawn, strict=True):
        assert set(rows) <= set(units.frames_of(number))
        assert (np.diff(rows) >= 0).all()
        if lengths[number] >= frames:
            assert len(set(rows)) == frames


def test_every_frame_is_drawn_in_the_end(rng):
    units = group_tracklets(images([0] * 6 + [1] * 2))
    drawn = np.concatenate([units.draw(np.array([0, 1]), 3, rng) for _ in range(60)], axis=1)
    assert set(drawn[0]) == set(range(6)) and set(drawn[1]) == {6, 7}


@pytest.mark.parametrize(
    ("options", "words"),
    [({"train": 0}, "at least 1; got 0"), ({"test": 0}, "at least 1"), ({"mean_of": "embedding"}, "pooled, unit")],
)
def test_options_out_of_range(options, words):
    with pytest.raises(InputError, match=words):
        Frames(**options)
