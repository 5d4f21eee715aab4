"""The published algorithms as we wrote them, against what the authors' programs gave, and against ours everywhere."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

import reunite
from benchmarks import features
from benchmarks.published.average_linkage import average_linkage
from benchmarks.published.evaluation import distances, evaluate
from benchmarks.published.jaccard import dense_jaccard, jaccard_of_neighbors, nearest_by_product
from benchmarks.published.merging import buc_stage, dbc_stage
from benchmarks.published.reranking import rerank
from reunite.types import Clusters, unit_rows

SETTINGS = [(30, 6), (20, 6), (15, 4), (20, 1)]


@pytest.fixture(scope="module")
def made():
    return features.market(400, 32)


@pytest.mark.data
@pytest.mark.parametrize("k1, k2", SETTINGS)
def test_the_jaccard_distance_is_the_program_s(shared, k1, k2):
    golden = np.load(shared("golden/jaccard.npz"))
    distance = dense_jaccard(golden["embeddings"], k1, k2)
    rows, cols, vals = (golden[f"jaccard_k{k1}_{k2}_{part}"] for part in ("rows", "cols", "vals"))
    np.testing.assert_allclose(distance[rows, cols], vals, rtol=0, atol=2e-6)
    distance[rows, cols] = 1
    assert distance.min() > 0.7 - 2e-6
    distance[rows, cols] = vals
    for eps in (0.35, 0.4, 0.45, 0.55, 0.6):
        labels = DBSCAN(eps=eps, min_samples=4, metric="precomputed").fit_predict(distance)
        np.testing.assert_array_equal(labels, golden[f"dbscan_k{k1}_{k2}_eps{eps}"])


@pytest.mark.data
def test_reranking_is_the_program_s(shared):
    golden = np.load(shared("golden/retrieval.npz"))
    distance = rerank(golden["query"], golden["gallery"])
    np.testing.assert_allclose(distance, golden["reranked"], rtol=0, atol=2e-6)


@pytest.mark.data
@pytest.mark.parametrize("after", ["", "_reranked"])
def test_the_evaluation_is_the_program_s(shared, after):
    golden = np.load(shared("golden/retrieval.npz"))
    valid = golden["gallery_identity"] >= 0
    distance = golden["reranked"] if after else distances(golden["query"], golden["gallery"])
    cmc, mean_precision, _ = evaluate(
        distance[:, valid],
        golden["query_identity"],
        golden["gallery_identity"][valid],
        golden["query_camera"],
        golden["gallery_camera"][valid],
    )
    np.testing.assert_allclose(cmc, golden[f"cmc{after}"], rtol=0, atol=1e-6)
    assert mean_precision == pytest.approx(float(golden[f"mAP{after}"]), abs=1e-6)


@pytest.mark.data
@pytest.mark.parametrize(
    "program, stage, rounds",
    [
        ("buc", buc_stage, 6),
        ("dbc_penalised", dbc_stage, 3),
        ("dbc_unpenalised", partial(dbc_stage, weight=0.0), 3),
    ],
)
def test_stages_of_merging_are_the_program_s(shared, program, stage, rounds):
    golden = np.load(shared("golden/merging.npz"))
    labels = np.arange(len(golden["embeddings"]))
    for expected in golden[program][:rounds]:
        labels = stage(golden["embeddings"], labels, int(0.05 * len(labels)))
        np.testing.assert_array_equal(labels, expected)


@pytest.mark.data
def test_average_linkage_is_the_stored_one(shared):
    golden = np.load(shared("golden/merging.npz"))
    labels = average_linkage(golden["embeddings"], 13 * int(0.07 * len(golden["embeddings"])))
    np.testing.assert_array_equal(Clusters.of(labels).labels, Clusters.of(golden["average_linkage"]).labels)


def test_neighbors_are_the_largest_products(made):
    rows = made[0]
    nearest, products = nearest_by_product(rows, 7)
    indices, similarity = reunite.nearest_neighbors(rows, 7)
    np.testing.assert_array_equal(nearest, indices)
    np.testing.assert_allclose(products, similarity, rtol=0, atol=1e-6)


def test_jaccard_distances_are_ours(made):
    rows = made[0]
    distance = dense_jaccard(rows, 20, 6)
    graph = reunite.jaccard_graph(rows, 20, 6, 0.7)
    near = graph.nonzero()
    np.testing.assert_allclose(distance[near], graph.data[graph.data > 0], rtol=0, atol=2e-6)
    np.testing.assert_allclose(distance, distance.T, rtol=0, atol=1e-6)
    again = jaccard_of_neighbors(nearest_by_product(rows, 20)[0], rows, 20, 6)
    np.testing.assert_array_equal(distance, again)


def test_reranked_distances_are_ours(made):
    rows = made[0]
    np.testing.assert_allclose(rerank(rows[:50], rows[50:]), reunite.rerank(rows[:50], rows[50:]), rtol=0, atol=2e-6)


def test_scores_are_ours(made):
    """Of queries whose ranks are not a matter of rounding: a match and another image are not equally near, to six digits."""
    rows, identity, camera = made
    exact = rows.astype(np.float64) @ rows[100:].astype(np.float64).T
    match = identity[:, None] == identity[None, 100:]
    gaps = [np.abs(np.subtract.outer(exact[q, match[q]], exact[q, ~match[q]])).min(initial=1) for q in range(100)]
    queries = np.flatnonzero(np.array(gaps) > 1e-6)
    assert len(queries) > 80
    sides = [part for values in (rows, identity, camera) for part in (values[queries], values[100:])]
    cmc, mean_precision, mean_penalty = evaluate(distances(sides[0], sides[1]), *sides[2:])
    scores = reunite.retrieval_scores(*sides)
    assert (mean_precision, mean_penalty) == pytest.approx((scores.mAP, scores.mINP), abs=1e-9)
    np.testing.assert_allclose(cmc, scores.cmc, rtol=0, atol=1e-9)


def test_merges_are_ours(made):
    rows, identity, _ = made
    halves = features.halves(identity)
    assert halves.max() + 1 == 200
    assert all(len(set(identity[halves == label])) == 1 for label in range(200))
    for stage, criterion in ((buc_stage, reunite.MinimumDistance()), (dbc_stage, reunite.Dispersion())):
        for labels in (np.arange(400), halves):
            expected = reunite.BottomUp(criterion).fit_predict(rows, labels)
            found = stage(rows, labels, 20)
            np.testing.assert_array_equal(Clusters.of(found).labels, expected)
    expected = reunite.BottomUp(reunite.MinimumDistance(0.1)).fit_predict(rows, halves)
    found = buc_stage(rows, halves, 20, size_penalty=0.1)
    np.testing.assert_array_equal(Clusters.of(found).labels, expected)
    expected = reunite.AverageLinkage().fit_predict(rows)
    np.testing.assert_array_equal(Clusters.of(average_linkage(rows, 13 * 28)).labels, expected)


def test_infomap_labels_are_ours(made):
    pytest.importorskip("infomap")
    from benchmarks.published.infomap_path import infomap_labels

    rows = made[0]
    labels = infomap_labels(*nearest_by_product(rows, 15))
    assert 3 < labels.max() < 200 and (labels == -1).any()
    np.testing.assert_array_equal(Clusters.of(labels).labels, reunite.InfomapClustering().fit_predict(rows))
    assert (infomap_labels(*nearest_by_product(np.eye(8, dtype=np.float32), 3)) == -1).all()


def test_a_stage_by_hand():
    """Two near pairs, one far row: BUC joins the nearest; DBC too, and a loose cluster waits where sizes do not matter."""
    angles = np.array([0.0, 0.1, 1.0, 1.3, 3.0])
    rows = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    alone = np.arange(5)
    for stage in (buc_stage, dbc_stage):
        np.testing.assert_array_equal(stage(rows, alone, 1), [0, 0, 1, 2, 3])
        np.testing.assert_array_equal(stage(rows, alone, 2), [0, 0, 1, 1, 2])
    np.testing.assert_array_equal(buc_stage(rows, alone, 3, size_penalty=0.0), [0, 0, 0, 0, 1])  # a chain
    joined = np.array([0, 0, 1, 1, 2])
    np.testing.assert_array_equal(buc_stage(rows, joined, 1, size_penalty=0.0), [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(buc_stage(rows, joined, 1, size_penalty=100.0), [0, 0, 1, 1, 1])


@pytest.mark.data
def test_inputs_are_those_of_the_measured_table(shared, monkeypatch):
    monkeypatch.syspath_prepend(str(shared("prototypes")))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    import gen

    for made, expected in (
        (features.embeddings(300, 299, 6, 32, 3), gen.make(300, 299, 6, 32, 3)),
        (features.market(700, 64), gen.market(64, 700)),
        (features.large(1_000, 16), gen.large(1_000, 16)),
    ):
        for ours, theirs in zip(made, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    expected = gen.market_test(dim=4)
    for ours, place in zip(features.market_test(4), (0, 3, 1, 4, 2, 5), strict=True):
        np.testing.assert_array_equal(ours, expected[place])


def test_generated_rows_are_unit(made):
    np.testing.assert_allclose(unit_rows(made[0]), made[0], rtol=0, atol=1e-6)
    assert len(np.unique(made[1])) == 23 and set(made[2]) <= set(range(6))
