from __future__ import annotations

import pytest

from reunite.files import replacing


def test_the_final_name_holds_the_old_content_or_the_new_and_nothing_in_between(tmp_path):
    path = tmp_path / "deep" / "scores.json"
    with replacing(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(RuntimeError, match="disk"), replacing(path) as temporary:
        temporary.write_text("ne")
        assert path.read_text() == "old"
        raise RuntimeError("disk full")
    assert path.read_text() == "old"
    assert [each.name for each in path.parent.iterdir()] == ["scores.json"]
