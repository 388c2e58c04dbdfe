"""Figures. If these fail, colours change between figures or names break drawings."""

import shutil
import xml.etree.ElementTree as ET

import matplotlib.figure
import pytest

from espnet2_sop.report.experiment import read_experiment
from espnet2_sop.report.figures import COLOURS, Figure, Panel, make_looks, panel_svg, save_figure, upper_limit
from espnet2_sop.report.lines import rate_of
from espnet2_sop.report.plots import overlap_groups, score_figures
from espnet2_sop.report.prompt_plots import changes, control_of, prompted_pairs, quality_groups
from espnet2_sop.scoring.tables.systems import SYSTEMS, system_rank

VARIANTS = [
    "sop_confidence",
    "sop_frozen",
    "sop_none",
    "ctc_frozen",
    "joint_stopgrad",
    "sop_reference",
    "sop_a",
    "sop_b",
]


def test_systems_of_the_table_look_the_same_in_every_report():
    assert COLOURS.keys() == SYSTEMS.keys()
    alone, many = make_looks(["sop"]), make_looks(sorted([*SYSTEMS, *VARIANTS], key=system_rank))
    assert alone["sop"] == many["sop"]
    assert len({(look.colour, look.marker) for look in many.values()}) == 15  # no two alike


def test_upper_limit():
    assert upper_limit([10, 30]) == pytest.approx(32.4)
    assert upper_limit([10, 30, 450]) == pytest.approx(32.4)  # far outside
    assert upper_limit([90, 120]) == pytest.approx(129.6)  # but this is not
    assert upper_limit([150, 200]) == pytest.approx(216)
    assert upper_limit([]) > 0 and upper_limit([0, 0]) > 0


def test_svg_of_a_panel_stands_in_a_page():
    name = "<b>&$x_1$"

    def draw(axes):
        axes.plot([1, 2], [1, 2], marker="o")
        axes.set_ylabel(name)

    one, two = (panel_svg(Panel(name, draw), prefix) for prefix in ("a", "b"))
    root = ET.fromstring(one)
    assert root.tag.endswith("svg") and "<b>" not in one and "&lt;b&gt;&amp;$x_1$" in one
    ids = [{element.get("id") for element in ET.fromstring(svg).iter() if element.get("id")} for svg in (one, two)]
    assert not ids[0] & ids[1]
    links = [value[1:] for element in root.iter() for key, value in element.attrib.items() if key.endswith("href")]
    assert links and set(links) <= ids[0]
    assert one == panel_svg(Panel(name, draw), "a")  # nothing in it depends on time or chance


def test_files_of_a_figure(tmp_path):
    looks = make_looks(["sop", "_hidden"])
    panels = [Panel(str(i), lambda axes: axes.plot([1, 2])) for i in range(4)]
    files = save_figure(Figure("name", "title", "caption", panels, ["sop", "_hidden"]), looks, tmp_path / "new")
    assert [file.name for file in files] == ["name.svg", "name.png"] == [*map(str, ["name.svg", "name.png"])]
    assert files[1].read_bytes().startswith(b"\x89PNG") and ET.parse(files[0]).getroot().tag.endswith("svg")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["name.png", "name.svg"]


def test_figures_of_an_experiment(experiment):
    whole = read_experiment(experiment)
    figures = {figure.name: figure for figure in score_figures(whole, make_looks(whole.systems))}
    assert list(figures) == ["cpwer", "overlap", "prompt", "counts", "speed"]  # one number of talkers per condition
    assert [panel.title for panel in figures["overlap"].panels] == ["2 talkers, noisy"]
    assert [panel.title for panel in figures["prompt"].panels] == ["sop", "by quality of the prompt"]
    assert [panel.title for panel in figures["counts"].panels] == whole.systems


def test_talkers_of_a_mixed_condition(recipe, references, add_result):
    (recipe / "dump" / "test_2mix_noisy" / "info.json").write_text('{"num_talkers": 2, "condition": "clean"}')
    for name, texts in references.items():
        add_result(recipe, "sop", name, texts)
    whole = read_experiment(recipe / "exp")
    figures = {figure.name: figure for figure in score_figures(whole, make_looks(whole.systems))}
    assert [panel.title for panel in figures["talkers"].panels] == ["clean"]


def test_test_sets_of_as_many_talkers_share_their_axis(recipe, references, add_result):
    """So that clean and noisy panels can be compared by eye."""
    shutil.copytree(recipe / "dump" / "test_2mix_noisy", recipe / "dump" / "test_2mix_clean")
    texts = references["test_2mix_noisy"]
    add_result(recipe, "sop", "test_1mix_clean", references["test_1mix_clean"])
    add_result(recipe, "sop", "test_2mix_clean", {key: text.replace("TWO", "TOO") for key, text in texts.items()})
    add_result(recipe, "sop", "test_2mix_noisy", dict.fromkeys(texts, "NO"))
    whole = read_experiment(recipe / "exp")
    axes = {}
    for panel in next(score_figures(whole, make_looks(whole.systems))).panels:
        axes[panel.title] = matplotlib.figure.Figure().subplots()
        panel.draw(axes[panel.title])
    ends = {title: round(drawn.get_xlim()[1], 3) for title, drawn in axes.items()}
    two = [end for title, end in ends.items() if "2 talkers" in title]
    assert len(ends) == 3 and two[0] == two[1] == 108 and min(ends.values()) < 108


def test_the_control_stands_beside_what_reads_a_prompt(experiment):
    whole = read_experiment(experiment)
    assert control_of(whole, "sop") == "sot_continued"
    figure = next(f for f in score_figures(whole, make_looks(whole.systems)) if f.name == "prompt")
    assert list(figure.legend) == ["sop", "sot_continued"] and "control sot_continued saw no prompt" in figure.caption
    axes = matplotlib.figure.Figure().subplots()
    figure.panels[0].draw(axes)
    shares = [text.get_text() for text in axes.texts]
    own, control = (changes(prompted_pairs(whole, "sop", name)) for name in ("sop", "sot_continued"))
    assert shares[0] == f"final worse: {own[0]:.0f} % (control: {control[0]:.0f} %)" and own != control


def test_shares_of_better_and_worse_mixtures():
    assert changes([(0.5, (1, 4)), (0.5, (2, 4)), (0.5, (3, 4)), (0.0, (1, 4))]) == (50, 25)
    assert changes([]) == (0, 0)


def test_groups_of_overlap(experiment):
    whole = read_experiment(experiment)
    results = whole.test_sets["test_2mix_noisy"]
    overlap = results[0].test_set.overlap
    groups = overlap_groups(results)
    assert len(groups) == 2 and sorted(sum(groups, [])) == sorted(overlap)  # at least ten mixtures in each
    assert max(overlap[key] for key in groups[0]) <= min(overlap[key] for key in groups[1])
    assert overlap_groups(whole.test_sets["test_1mix_clean"]) == []  # never any overlap


def test_groups_by_quality_of_the_prompt():
    pairs = [(0.0, (1, 10))] * 12 + [(0.1, (2, 10))] * 10 + [(0.2, (9, 10))] * 3 + [(2.0, (5, 10))] * 11
    assert [(x, len(group)) for x, group in quality_groups(pairs)] == [(0, 12), (pytest.approx(10), 10), (200, 11)]


def test_rates_are_totals_over_totals():
    assert rate_of([(1, 2), (0, 8)]) == 10
