"""The README shows what was measured."""

import json
from pathlib import Path

from bench import results

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_shows_the_results_that_are_committed():
    assert results.readme_block() in README.read_text()


def test_saving_results_renews_the_readmes_table_and_nothing_else(tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    monkeypatch.setattr(results, "FILE", tmp_path / "results.json")
    monkeypatch.setattr(results, "README", readme)
    results.save("first", [results.Result("a", 1.5, 1), results.Result("b", 2, unit="ms")])
    text = readme.read_text()
    assert text.startswith("before\n<!-- bench -->\n| measured |")
    assert "| a | 1.5 | ≤ 1 | **missed** |" in text
    assert "| b |" not in text
    assert text.endswith("<!-- /bench -->\nafter\n")
    assert "| b | 2 ms |" in results.table()


def test_a_part_that_is_measured_again_leaves_the_others_as_they_were(tmp_path, monkeypatch):
    (tmp_path / "README.md").write_text("<!-- bench -->\n<!-- /bench -->\n")
    monkeypatch.setattr(results, "FILE", tmp_path / "results.json")
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    for part, value in [("first", 1), ("second", 2), ("first", 3)]:
        results.save(part, [results.Result(f"{part} value", value)])
    rows = results.table().splitlines()[2:]
    assert rows == ["| first value | 3 |  |  |", "| second value | 2 |  |  |"]
    saved = json.loads(results.FILE.read_text())["second"]
    assert saved["cores"] >= 1
    assert saved["sha256_gb_per_s"] > 0
    assert {"commit", "changed_since"} <= saved.keys()
