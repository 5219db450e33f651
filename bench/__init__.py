"""Speed and memory, measured: `python -m bench` writes `bench/results.json`, `--table` prints it as Markdown."""
