"""`python -m benchmarks.identities`: the others get what they would find themselves, and tables say what was measured."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.cluster import DBSCAN, HDBSCAN

import reunite
from benchmarks import features, identities, identity_peers
from benchmarks.identity_peers import PEERS, Score, best
from benchmarks.identity_sets import Known, every_set
from reunite.types import unit_rows


@pytest.fixture(scope="module")
def known():
    rows, identity, camera = features.embeddings(120, 12, 3, 32, seed=1)
    identity[:10] = -1
    return Known(rows, identity, camera)


@pytest.fixture
def small_grids(monkeypatch):
    monkeypatch.setattr(identity_peers, "QUANTILES", np.array([0.01, 0.05]))
    monkeypatch.setattr(identity_peers, "NEIGHBORHOODS", ((4, 2), (10, 3)))


def test_a_score_counts_rows_of_unknown_identity_nowhere():
    score = Score.of(np.array([0, 0, 1, -1, 2, 2]), np.array([5, 5, 6, 6, -1, -1]))
    assert (score.found, score.alone) == (3, 2)  # the pair, one row alone and one that is noise
    assert score.ari == pytest.approx(4 / 7)
    assert score.pairwise_f == pytest.approx(2 / 3)


@pytest.mark.parametrize("peer", PEERS)
def test_every_peer_gives_labels_and_the_best_setting_is_taken(peer, known, small_grids):
    tried = dict(PEERS[peer](known.rows))
    assert all(labels.shape == (120,) for labels in tried.values())
    scores = {setting: reunite.clustering_scores(labels, known.identity).ari for setting, labels in tried.items()}
    chosen = best(peer, known.rows, known.identity)
    assert chosen.ari == max(scores.values()) == scores[chosen.setting]


def test_dbscan_on_the_nearest_pairs_is_dbscan_on_all(known, small_grids):
    tried = dict(identity_peers.cosine_dbscan(known.rows))
    for setting, labels in tried.items():
        eps, least = (part.split()[1] for part in setting.split(", "))
        own = DBSCAN(eps=float(eps), min_samples=int(least), metric="cosine").fit_predict(known.rows)
        np.testing.assert_array_equal(labels, own)  # eps as printed: no distance lies in what is rounded off


@pytest.mark.parametrize("method", ["eom", "leaf"])
def test_labels_cut_from_one_tree_are_those_of_a_fit_of_its_own(known, method):
    tried = dict(identity_peers.cosine_hdbscan(known.rows))
    distances = np.maximum(1 - known.rows @ known.rows.T, 0).astype(np.float64)
    np.fill_diagonal(distances, 0)
    own = HDBSCAN(5, min_samples=3, metric="precomputed", cluster_selection_method=method, copy=True)
    np.testing.assert_array_equal(
        tried[f"min_cluster_size 5, min_samples 3, {method}"], own.fit_predict(distances.copy())
    )


def test_the_jaccard_grid_gives_what_the_clusterer_gives(known):
    tried = dict(identity_peers.jaccard_dbscan(known.rows))
    own = reunite.JaccardDBSCAN(k1=10, k2=2, eps=0.5, min_samples=4).fit_predict(known.rows)
    np.testing.assert_array_equal(tried["k1 10, eps 0.5, min_samples 4"], own)


def test_tables_hold_every_set_and_scores_are_kept(known, small_grids, tmp_path, monkeypatch, capsys):
    sets = [named for named in every_set([0], []) if named.name == "vehicles-mobilenet_v2"]
    monkeypatch.setattr(identities, "every_set", lambda seeds, folders: sets)
    monkeypatch.setattr(identities, "load", lambda *_: known)
    argv = ["benchmarks.identities", str(tmp_path), "--only", "vehicles", "--seeds", "0"]
    monkeypatch.setattr(sys, "argv", argv)
    identities.main()
    first = capsys.readouterr().out
    monkeypatch.setattr(identities, "load", lambda *_: pytest.fail("everything was kept"))
    identities.main()
    assert capsys.readouterr().out == first
    assert first.count("| vehicles-mobilenet_v2 | ") == 2
    ours = reunite.identify(known.rows, known.camera)
    assert f"{reunite.clustering_scores(ours.labels, known.identity).ari:.3f}" in first
    assert "of 8 comparisons are lost." in first


def test_files_of_sets_have_different_names():
    names = [named.name for named in every_set([0, 1, 2], [])]
    assert len(set(names)) == len(names) == 23


def test_time_and_memory_of_made_up_embeddings(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks.identities", "--sizes", "500"])
    identities.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[2].startswith("| 500 x 256 | 20 |")


def test_growth_keeps_numbers_where_individuals_can_be_told_apart(monkeypatch, capsys):
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(40), 6)
    rows = unit_rows(rng.standard_normal((40, 48))[identity] + 0.9 * rng.standard_normal((240, 48)))
    known = Known(rows.astype(np.float32), identity, np.arange(240) % 3)
    monkeypatch.setattr(identities, "load", lambda *_: known)
    monkeypatch.setattr(
        sys, "argv", ["benchmarks.identities", "anywhere", "--growth", "2", "--only", "vehicles-mobile"]
    )
    identities.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| vehicles")]
    assert len(rows) == 2
    for _, _, kept, lowest, ari, anew, _ in rows:
        mean = float(kept.split(" ± ")[0])
        assert 0.95 <= float(lowest) <= mean <= 1 and mean >= float(anew.split(" ± ")[0])
        assert float(ari.split(" ± ")[0]) > 0.9
