"""jem eval: its figures against scikit-learn's from the scores of `jem score`, and what it writes:
tables, JSON, a page and a picture, whose curves are measured.
"""

import html.parser
import json
import os
import re
import subprocess
import xml.etree.ElementTree

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

import jem as binding
from cli_support import CLASSES, JEM, OOD_SETS, apply, idx, images, jem, model, pixels_of

KINDS = ["energy", "max-softmax", "max-logit", "margin", "entropy", "gen", "gradient-norm", "odin"]
STRANGE = "a<b>&\"c'd.npy"


def mixed(n, seed, part):
    """Images of the classes, of which noise leaves so much."""
    x, y = images(n, seed)
    noise = np.random.default_rng(seed).uniform(-1, 1, x.shape)
    return (part * (x / 127.5 - 1) + (1 - part) * noise).astype(np.float32), y


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A test set whose images are not clear, and a fifth of whose labels are wrong."""
    folder = tmp_path_factory.mktemp("data")
    x, y = mixed(60, 8, 0.35)
    y[::5] = (y[::5] + 1) % CLASSES
    np.save(folder / "X.npy", x)
    np.save(folder / "y.npy", y)
    return folder


@pytest.fixture(scope="module")
def x_test(data):
    return data / "X.npy", np.load(data / "y.npy")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Images that are somewhat more unusual, in a file of a name that pages must escape."""
    path = tmp_path_factory.mktemp("other") / STRANGE
    np.save(path, mixed(45, 9, 0.15)[0])
    return path


@pytest.fixture(scope="module")
def scores(model, x_test, other, tmp_path_factory):
    """Of each kind: of the test set, and of the other."""
    out = tmp_path_factory.mktemp("scores") / "s.npy"
    return {kind: [apply("score", model, x, out, "--kind", kind) for x in (x_test[0], other)]
            for kind in KINDS}


@pytest.fixture(scope="module")
def report(model, data, other):
    return evaluate(model, data, other)


def evaluate(model, data, *ood, options=()):
    return json.loads(jem("eval", "--model", model, "--data", data, "--json", "--batch", 16,
                          *options, "--ood", *ood))


# ---- figures ------------------------------------------------------------------------------------


def false_positives(labels, scores):
    rates = roc_curve(labels, scores, drop_intermediate=False)
    return rates[0][np.argmax(rates[1] >= 0.95)]


def risks(wrong, scores):
    """Of the first 1, 2, .. rows."""
    return np.cumsum(wrong[np.argsort(scores, kind="stable")]) / np.arange(1, len(wrong) + 1)


def test_every_score_has_the_figures_of_scikit_learn(report, scores, other):
    found = report["ood"][str(other)]
    assert found["n"] == 45 and list(found)[1:] == KINDS
    for kind, (usual, unusual) in scores.items():
        label = np.repeat([0, 1], [len(usual), len(unusual)])
        both = np.concatenate([usual, unusual])
        expected = {"auroc": roc_auc_score(label, both),
                    "aupr_out": average_precision_score(label, both),
                    "aupr_in": average_precision_score(1 - label, -both),
                    "fpr95_out_positive": false_positives(label, both),
                    "fpr95_in_positive": false_positives(1 - label, -both)}
        # One pair of rows may change places by rounding: rows are scored in other batches.
        assert found[kind] == pytest.approx(expected, abs=2e-3), kind
        assert report["auroc"][str(other)][kind] == found[kind]["auroc"]


def test_intervals(model, data, report, scores, other):
    options = ["--intervals", 200, "--seed", 3]
    found = evaluate(model, data, other, options=options)
    for kind, (usual, unusual) in scores.items():
        ends = binding.detection_intervals(usual, unusual, resamples=200, seed=3)
        low, high = found["ood"][str(other)][kind]["auroc_interval"]
        assert [low, high] == pytest.approx([ends.low.auroc, ends.high.auroc], abs=2e-3)
        assert low <= found["auroc"][str(other)][kind] <= high
    for name in ("accuracy", "nll", "ece", "brier"):
        low, high = found["intervals"][name]
        assert low <= high and low <= found[name] * 1.2 and found[name] <= high * 1.2
    assert "intervals" not in report and "auroc_interval" not in str(report)
    assert found["auroc"] == report["auroc"]


def test_the_sets_are_neither_apart_nor_alike(report, other):
    """Otherwise little is tested here."""
    assert 0.3 < report["accuracy"] < 0.95
    assert all(0.05 < area < 0.95 and area != 0.5 for area in report["auroc"][str(other)].values())


def test_figures_of_the_test_set(model, report, scores, x_test, tmp_path):
    logits = apply("logits", model, x_test[0], tmp_path / "f.npy")
    figures = binding.classification_metrics(logits, x_test[1])
    for name in ("accuracy", "nll", "ece", "ece_adaptive", "ece_classwise", "brier"):
        assert report[name] == pytest.approx(getattr(figures, name), abs=1e-4), name
    wrong = logits.argmax(axis=1) != x_test[1]
    for kind in KINDS:
        expected = risks(wrong, scores[kind][0]).mean()
        assert report["selective"][kind]["aurc"] == pytest.approx(expected, abs=2e-3), kind
    assert "false_positive_rate" not in report and "promise" not in report  # there is no detector


def test_data_without_labels(model, data, x_test, tmp_path):
    np.save(tmp_path / "X.npy", np.load(x_test[0]))
    page = tmp_path / "page.html"
    found = evaluate(model, tmp_path, "inverted", options=["--html", page])
    assert "selective" not in found and "mean_energy" in found
    assert list(found["ood"]["inverted"])[1:] == KINDS
    text = page.read_text()
    assert "Reliability" not in text and "Risk" not in text and "ROC: inverted" in text


# ---- text ---------------------------------------------------------------------------------------


def table_of(lines):
    first = next(i for i, line in enumerate(lines) if line.startswith("AUROC "))
    return lines[first:first + 1 + len(KINDS)]


def test_table(model, data):
    text = jem("eval", "--model", model, "--data", data, "--limit", 10)
    table = table_of(text.splitlines())
    assert table[0].split() == ["AUROC", *OOD_SETS]
    assert [line.split()[0] for line in table[1:]] == KINDS
    assert len({len(line) for line in table}) == 1  # aligned
    found = evaluate(model, data, *OOD_SETS, options=["--limit", 10])["auroc"]
    for line in table[1:]:
        kind, *areas = line.split()
        assert areas == [f"{found[name][kind]:.3f}" for name in OOD_SETS]
    assert "\n\nAUROC: the chance" in text and "row;\n0.5 is a guess" in text
    assert "test rows          10" in text
    assert max(map(len, text.splitlines()[3:])) <= 80


def test_table_of_many_sets_and_long_names(model, data, other):
    sets = [*OOD_SETS, other]
    text = jem("eval", "--model", model, "--data", data, "--ood", *sets, "--intervals", 20)
    heads = [line.split()[1:] for line in text.splitlines() if line.startswith("AUROC ")]
    assert heads == [OOD_SETS, ["[7]"]]
    assert f"\n\n[7] {other}\n" in text and "95 % interval" in text
    assert max(len(line) for line in text.splitlines()[3:] if not line.startswith("[7]")) <= 80


# ---- the page -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(model, data, other, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    jem("eval", "--model", model, "--data", data, "--ood", other, "rotated", "--html", path,
        "--intervals", 20)
    return path.read_text()


@pytest.fixture(scope="module")
def tree(page):
    return xml.etree.ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))


class Tags(html.parser.HTMLParser):
    """Elements that are open, as a browser reads them."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], set(), ""

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_page_is_well_formed_and_alone(page, tree, other):
    tags = Tags()
    tags.feed(page)
    assert tags.open == [] and tree.tag == "html"
    assert str(other) in tags.text and STRANGE in tags.text
    for reference in ("http", "src=", "href", "url(", "@import", "<script", "<link", "<img"):
        assert reference not in page, reference
    assert "prefers-color-scheme:dark" in page and "b" not in tags.seen
    assert '<meta charset="utf-8"/>' in page


def test_page_shows_strange_names_safely(model, data, x_test, tmp_path):
    path = tmp_path / os.fsdecode(b"r\x1b[31m\xff\n<script>&amp;\xc3\xa4.npy")
    np.save(path, np.load(x_test[0]))
    out = tmp_path / "page.html"
    jem("eval", "--model", model, "--data", data, "--ood", path, "--html", out)
    text = out.read_text(encoding="utf-8")
    xml.etree.ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))
    assert "r?[31m??&lt;script&gt;&amp;amp;ä.npy" in text and "<script" not in text


def charts_of(tree, title):
    return [chart for chart in tree.iter("svg") if chart.get("aria-label", "").startswith(title)]


def texts(element, anchor):
    return [(float(text.get("x")), float(text.get("y")), text.text)
            for text in element.iter("text") if text.get("text-anchor") == anchor]


def axes_of(chart):
    """Functions from a chart's units to the values at its ticks."""
    ticks = [[], []]
    for x, y, text in texts(chart, "middle"):
        if re.fullmatch(r"-?[\d.]+", text):
            ticks[0].append((x, float(text)))
    for x, y, text in texts(chart, "end"):
        if re.fullmatch(r"-?[\d.]+", text):
            ticks[1].append((y - 4, float(text)))
    axes = [np.polynomial.Polynomial.fit(*np.array(ticks[k]).T, 1) for k in (0, 1)]
    assert axes[0](100) < axes[0](101) and axes[1](100) > axes[1](101)  # to the right, and upward
    return axes


def points_of(chart, element):
    pairs = np.array([pair.split(",") for pair in element.get("points").split()], float)
    return [axis(pairs[:, k]) for k, axis in enumerate(axes_of(chart))]


def swatch(element):
    return element.get("class")


def test_page_draws_the_roc_curves(tree, report, other):
    """The area below each curve, and the row of the table that has its colour, are the AUROC."""
    chart, rotated = charts_of(tree, "ROC")
    assert rotated.get("aria-label") == "ROC: rotated"
    assert chart.get("aria-label") == f"ROC: {STRANGE}"
    curves = {swatch(curve): points_of(chart, curve) for curve in chart.iter("polyline")}
    assert len(curves) == len(KINDS)
    section = next(s for s in tree.iter("section") if s.find("h2").text == str(other))
    for row, kind in zip(section.find(".//tbody"), KINDS):
        area = report["auroc"][str(other)][kind]
        x, y = curves[swatch(row.find(".//line"))]
        assert (np.diff(x) >= -1e-6).all() and (np.diff(y) >= -1e-6).all()
        assert ((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum() == pytest.approx(area, abs=6e-3)
        cells = ["".join(cell.itertext()) for cell in row]
        assert cells[0].strip() == kind and cells[1].startswith(f"{area:.3f}")
        figures = report["ood"][str(other)][kind]
        assert cells[2:] == [f"{figures[name]:.3f}" for name in (
            "aupr_out", "aupr_in", "fpr95_out_positive", "fpr95_in_positive")]


def test_page_draws_the_histograms(tree, scores):
    """Bars are those of numpy but for a few rows at their ends: pixels are rounded."""
    for kind in ("energy", "max-softmax", "gen"):
        chart = charts_of(tree, f"Scores: {kind}")[0]
        for area, values in zip(chart.iter("polygon"), scores[kind]):
            x, y = points_of(chart, area)
            ends = np.append(x[1:-1:2], x[-2])
            middle = np.clip(values, ends[0], ends[-1])
            expected = 100 * np.histogram(middle, ends)[0] / len(values)
            assert len(expected) == 50
            assert abs(y[1:-1:2] - expected).sum() < 100 * 7 / len(values), kind
    assert len(charts_of(tree, "Scores")) == 6


def test_page_draws_reliability_and_risk(tree, model, scores, x_test, tmp_path):
    logits = apply("logits", model, x_test[0], tmp_path / "f.npy")
    bins = binding.reliability(logits, x_test[1])
    chart, = charts_of(tree, "Reliability")
    dots = np.array([(float(dot.get("cx")), float(dot.get("cy"))) for dot in chart.iter("circle")])
    x, y = (axis(dots[:, k]) for k, axis in enumerate(axes_of(chart)))
    filled = bins.count > 0
    assert np.allclose(x, bins.confidence[filled], atol=2e-3)
    assert np.allclose(y, bins.accuracy[filled], atol=2e-3)
    ece = binding.classification_metrics(logits, x_test[1]).ece
    assert chart.get("aria-label") == f"Reliability: ECE {ece:.4f}"
    chart, = charts_of(tree, "Risk")
    wrong = logits.argmax(axis=1) != x_test[1]
    for curve, kind in zip(chart.iter("polyline"), ("energy", "max-softmax", "gen")):
        x, y = points_of(chart, curve)
        expected = risks(wrong, scores[kind][0])[np.rint(x * len(wrong)).astype(int) - 1]
        far = x > 0.05
        assert far.sum() > 30 and np.allclose(y[far], expected[far], atol=3e-3), kind


def test_page_of_intervals(page, tree):
    assert "20 bootstrap resamples" in page
    cell = tree.find(".//tbody/tr/td")
    low, high = cell.find("small").text.split("\u2013")
    assert float(low) <= float(cell.text) <= float(high)


# ---- the picture --------------------------------------------------------------------------------


def test_picture(model, data, other, report, scores, tmp_path):
    """The brown pixels, of the gradient norm, lie where its points are."""
    path = tmp_path / "picture.png"
    jem("eval", "--model", model, "--data", data, "--ood", other, "inverted", "--png", path)
    image = pixels_of(path).astype(int)[2:-2, 2:-2]  # without the edge of png_grid.c
    plot, legend, line = (640, 420), 360, 40  # of plot.h and eval_png.c
    assert image.shape == (2 * (plot[1] + line), 3 * plot[0] + legend, 3)
    left, right, top, bottom = 72, 608, 48 + line, 348 + line
    roc = image[top - 3:bottom + 4, left - 3:right + 4]
    brown = abs(roc - (122, 106, 90)).sum(axis=2) < 12
    assert brown.sum() > right - left
    usual, unusual = scores["gradient-norm"]
    label = np.repeat([0, 1], [len(usual), len(unusual)])
    fpr, tpr, _ = roc_curve(label, np.concatenate([usual, unusual]), drop_intermediate=False)
    x, y = 3 + fpr * (right - left), 3 + (1 - tpr) * (bottom - top)
    found = np.argwhere(brown)
    steps = np.linspace(0, 1, 200)[:, None]
    way = np.concatenate([np.stack([y[i] + steps[:, 0] * (y[i + 1] - y[i]),
                                    x[i] + steps[:, 0] * (x[i + 1] - x[i])], axis=1)
                          for i in range(len(x) - 1)])
    distance = np.sqrt(((found[:, None] - way[None]) ** 2).sum(axis=2)).min(axis=1)
    assert distance.max() < 2.5
    histogram = image[top:bottom, 640 + legend + left:640 + legend + right]
    assert (histogram.std(axis=2) > 20).mean() > 0.01
    assert image[line + 48:line + 62, 640:668].min() < 150  # the first key of the legend


# ---- where it goes ------------------------------------------------------------------------------


def test_standard_output_is_for_one_thing(model, data, tmp_path):
    args = [JEM, "eval", "--model", model, "--data", data, "--ood", "uniform", "--html", "-"]
    done = subprocess.run(list(map(str, args)), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("<!DOCTYPE html>") and done.stdout.endswith("</html>\n")
    assert "AUROC" in done.stderr and done.stderr.startswith("model ")
    assert "--json is written to standard output" in jem(*args[1:], "--json", expect=2)
    page = tmp_path / "page.html"
    found = json.loads(jem(*args[1:-1], page, "--json"))
    assert page.read_text() == done.stdout and "uniform" in found["ood"]


@pytest.mark.parametrize("option", ["--html", "--png"])
def test_places_are_looked_at_before_the_work(option, model, data, tmp_path):
    args = [JEM, "eval", "--model", model, "--data", data, option, tmp_path / "no" / "page"]
    done = subprocess.run(list(map(str, args)), capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "No such file" in done.stderr and done.stdout == ""


def test_a_page_is_no_input(model, data, other, tmp_path):
    before = other.read_bytes()
    assert "same file" in jem("eval", "--model", model, "--data", data, "--ood", other, "--html",
                              other, expect=2)
    assert "same file" in jem("eval", "--model", model, "--data", data, "--html", model, expect=2)
    assert other.read_bytes() == before


# ---- jem score ----------------------------------------------------------------------------------


def test_refinement_is_asked_for(model, data, other, tmp_path):
    found = json.loads(jem("eval", "--model", model, "--data", data, "--ood", other, "--refinement",
                           "--json"))
    (figures,) = found["ood"].values()
    x = [np.load(data / "X.npy"), np.load(other)]
    with binding.Model.load(model) as own:
        for kind in ("refine", "refine-distance"):
            expected = binding.auroc(*(own.score(rows, kind) for rows in x))
            assert abs(figures[kind]["auroc"] - expected) < 1e-6


def test_scores_by_name_and_temperature(model, x_test, scores, tmp_path):
    logits = apply("logits", model, x_test[0], tmp_path / "f.npy").astype(float)
    for kind in KINDS[:6]:
        assert np.allclose(scores[kind][0], binding.score_logits(logits.astype(np.float32), kind),
                           atol=1e-5)
    warm = apply("score", model, x_test[0], tmp_path / "s.npy", "--kind", "max_softmax",
                 "--temperature", 2.5)
    p = np.exp(logits / 2.5)
    assert np.allclose(warm, -(p / p.sum(axis=1, keepdims=True)).max(axis=1), atol=1e-5)
    help_text = jem("score", "--help")
    assert all(kind in help_text for kind in KINDS) and "knn" not in help_text
    assert len(KINDS) > CLASSES
