"""The README shows what was measured."""

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
    results.save([results.Result("a", 1.5, 1), results.Result("b", 2, unit="ms")])
    text = readme.read_text()
    assert text.startswith("before\n<!-- bench -->\n| measured |")
    assert "| a | 1.5 | ≤ 1 | **missed** |" in text
    assert "| b |" not in text
    assert text.endswith("<!-- /bench -->\nafter\n")
    assert "| b | 2 ms |" in results.table()
