"""The ratios as a picture."""

from pathlib import Path

import matplotlib as mpl

from bench.peers import BASE
from bench.report import Figure

mpl.use("Agg")

from matplotlib import pyplot


def plot(path: Path, cells: list[Figure]) -> None:
    """Two panels: how many times better than OpenSSH, and processor seconds per GiB."""
    names = list(dict.fromkeys(cell.peer for cell in cells))
    titles = list(dict.fromkeys(cell.title for cell in cells))
    moved = list(dict.fromkeys(cell.title for cell in cells if cell.processor_per_gib is not None))
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(15, 1.5 + 0.12 * len(names) * len(titles)), layout="constrained"
    )
    ratio = {(cell.title, cell.peer): cell.ratio for cell in cells}
    processor = {(cell.title, cell.peer): cell.processor_per_gib for cell in cells}
    for axes, rows, values in ((left, titles, ratio), (right, moved, processor)):
        height = 0.85 / len(names)
        for number, name in enumerate(names):
            places = [place + number * height for place in range(len(rows))]
            lengths = [values[row, name] or 0.0 for row in rows]
            axes.barh(places, lengths, height, label=name, color=f"C{number}")
        axes.set_yticks([place + 0.4 for place in range(len(rows))], rows)
        axes.invert_yaxis()
    left.set_xscale("log")
    left.axvline(1, color="black", linewidth=0.8)
    left.set_xlabel(f"times better than {BASE} (more is better; no bar: not done)")
    right.set_xlabel("server CPU seconds per GiB (less is better)")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(names))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
