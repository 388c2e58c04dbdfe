"""The graph of the systems of a recipe: order, folders, checkpoints, and every mistake in its keys."""

from pathlib import Path

import pytest

from espnet2_sop.bin import systems as command
from espnet2_sop.io.errors import UserError
from espnet2_sop.training.systems import known_systems, resolve_systems

ROOT = Path(__file__).resolve().parents[3]
ACC, TER = "best_model_criterion: [[valid, acc, max]]\n", "best_model_criterion: [[valid, ter, min]]\n"
CONF = {
    "base": f"model_conf: {{tap: 2}}\n{ACC}",
    "train_sot": "init_from: pretrained\ndecode_mode: sot\nmodel_conf: {objective: sot}\n",
    "train_sot_continued": "init_from: sot\ndefaults: train_sot.yaml\n",
    "train_ctc": f"init_from: sot\ndecode_mode: ctc\nmodel_conf: {{objective: ctc}}\n{TER}",
    "train_sop": "init_from: ctc\ndecode_mode: sop\nmodel_conf: {objective: sop}\n",
    "train_sop_untrained": "defaults: train_sop.yaml\ntrain: false\n",
    "train_espnet_sot": f"init_from: scratch\ndecode_mode: espnet\n{ACC}",
}


@pytest.fixture
def conf(tmp_path):
    """A folder of configurations."""
    for name, text in CONF.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def resolve(conf, *names):
    return resolve_systems(conf, [conf / "base.yaml"], names)


def test_what_a_system_starts_from_comes_first(conf):
    found = resolve(conf, "sop", "espnet_sot", "sot_continued")
    assert [(s.name, s.stage, s.turn, s.start, s.checkpoint) for s in found] == [
        ("sot", 5, 0, "", "valid.acc.ave.pth"),
        ("ctc", 6, 0, "stage1_sot/valid.acc.ave.pth", "valid.ter.ave.pth"),
        ("sop", 7, 0, "stage2_ctc/valid.ter.ave.pth", "valid.acc.ave.pth"),
        ("sot_continued", 7, 0, "stage1_sot/valid.acc.ave.pth", "valid.acc.ave.pth"),
        ("espnet_sot", 8, 0, "", "valid.acc.ave.pth"),
    ]
    assert [s.folder for s in found] == [
        "stage1_sot", "stage2_ctc", "stage3_sop", "stage3_sot_continued", "espnet_sot"
    ]  # fmt: skip
    assert [s.vocabulary for s in found] == ["llm"] * 4 + ["char"]
    assert found[3].configs == tuple(conf / f"{name}.yaml" for name in ("base", "train_sot", "train_sot_continued"))


def test_no_system_is_trained_before_its_start(conf):
    """Also where the objective alone would put it earlier."""
    (conf / "train_ctc_later.yaml").write_text("init_from: sop\ndefaults: train_ctc.yaml\n")
    (conf / "train_sot_last.yaml").write_text("init_from: ctc_later\ndefaults: train_sot.yaml\n")
    order = [(s.stage, s.turn) for s in resolve(conf, "sot_last")]
    assert order == sorted(set(order)) == [(5, 0), (6, 0), (7, 0), (7, 1), (7, 2)]


def test_a_variant_inherits_start_and_mode(conf):
    (conf / "train_sop_clean.yaml").write_text("defaults: train_sop_untrained.yaml\ntrain: true\n")
    (system,) = (s for s in resolve(conf, "sop_clean") if s.name == "sop_clean")
    assert (system.init_from, system.decode_mode, system.trained, system.inherits) == (
        "ctc", "sop", True, "train_sop_untrained.yaml"
    )  # fmt: skip


def test_commands(conf, capsys):
    options = ["--base_config", str(conf / "base.yaml"), "--systems", "ctc", "--expdir", "an exp"]
    command.main([str(conf), *options, "--format", "commands", "--pretrained", "p.pth"])
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("--vocab_dir 'an exp/vocab' --output_dir 'an exp/stage1_sot' --init_param p.pth")
    assert second.endswith("--output_dir 'an exp/stage2_ctc' --init_param 'an exp/stage1_sot/valid.acc.ave.pth'")
    command.main([str(conf), "--systems", "espnet_sot", "--format", "tsv", "--pretrained", "p.pth"])
    line = capsys.readouterr().out.rstrip("\n").split("\t")
    assert line[:10] == [
        "espnet_sot",
        "8",
        "0",
        "exp/espnet_sot",
        "scratch",
        "-",
        "valid.acc.ave.pth",
        "espnet",
        "char",
    ] + ["true"]
    assert line[10:] == [
        *("espnet2-sop", "train", f"--config={conf / 'train_espnet_sot.yaml'}", "--task", "asr"),
        *("--token_list", "exp/vocab/char/tokens.txt", "--output_dir", "exp/espnet_sot"),
    ]


def test_tree(conf, capsys):
    command.main([str(conf)])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == [
        *("system", "(pretrained)", "sot", "ctc", "sop", "sop_untrained", "sot_continued", "(scratch)", "espnet_sot")
    ]
    assert rows[4] == ["sop", "7", "sop", "sop", "stage3_sop", "valid.acc.ave.pth"]
    assert rows[5][2:4] == ["not", "trained"] and rows[5][-1] == "train_sop.yaml"


@pytest.mark.parametrize(
    "folder", sorted(ROOT.glob("egs2/*/sop_asr1/conf/**/train_sot.yaml")), ids=lambda p: p.parts[-4]
)
def test_graphs_of_the_recipes(folder, capsys):
    """Every configuration is a system, and the comparison of the paper is in it."""
    command.main([str(folder.parent)])
    rows = {row.split()[0]: row.split() for row in capsys.readouterr().out.splitlines()}
    assert {path.stem.removeprefix("train_") for path in folder.parent.glob("train_*.yaml")} <= set(rows)
    assert rows["sot_continued"][4] == "stage3_sot_continued" and rows["sop"][4] == "stage3_sop"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("sop", "model_conf: {objective: sop}\n", "no init_from; write where the system starts: init_from: p"),
        ("sop", "init_from: ctc\n", "no decode_mode; write decode_mode: ctc, sot, sop or espnet"),
        ("sop", "initfrom: ctc\ndecode_mode: sop\n", "no key 'initfrom'; write init_from"),
        ("sop", "init_from: ctc\ndecodemode: sop\n", "no key 'decodemode'; write decode_mode"),
        ("sop", "default: train_ctc.yaml\n", "no key 'default'; write defaults"),
        ("sop", f"{CONF['train_sop']}warm_up: 3\n", "no key 'warm_up'; write warmup"),
        ("sop", CONF["train_sop"].replace("ctc", "ctx"), "init_from: no system 'ctx': .*train_ctx.yaml: no such "
         "configuration; there are ctc, espnet_sot, sop, .*, or write init_from: pretrained"),
        ("sop", "init_from: [ctc]\ndecode_mode: sop\n", r"init_from: \['ctc'\] is not the name of a system"),
        ("sop", "defaults: train_no.yaml\n", "defaults: .*train_no.yaml is missing; the name is relative to"),
        ("sop", "defaults: [train_ctc.yaml]\n", "defaults: .* is not a file name"),
        ("sop", "defaults: train_sop.yaml\n", "defaults: .*train_sop.yaml is based on this file"),
        ("sop", "defaults: train_sop_untrained.yaml\n", "defaults: .*train_sop.yaml is based on this file"),
        ("sop", f"{CONF['train_sop']}train: 0\n", "train: 0 is neither true nor false"),
        ("sop", CONF["train_sop"].replace("mode: sop", "mode: soap"), "'soap' is not ctc, sot, sop or espnet"),
        ("sop", CONF["train_sop"].replace("mode: sop", "mode: sot"), "sot, but objective sop trains for sop or ctc"),
        ("sop", CONF["train_sop"].replace("objective: sop", "objective: sap"), "objective: 'sap' is not align, "),
        ("sop", "init_from: ctc\ndecode_mode: sop\nmodel_conf: sop\n", "model_conf: expected keys and values"),
        ("sop", CONF["train_sop"].replace("ctc", "espnet_sot"), "espnet_sot: write pretrained or a system of"),
        ("sop", CONF["train_sop"].replace("ctc", "scratch"), "init_from: scratch: write pretrained or a system of"),
        ("espnet_sot", CONF["train_espnet_sot"].replace("scratch", "sot"), "sot: ESPnet's baseline starts from"),
        ("espnet_sot", "init_from: scratch\ndecode_mode: espnet\n", "no best_model_criterion, here or in the base"),
        ("sop", f"{CONF['train_sop']}best_model_criterion: [valid, acc]\n", "best_model_criterion"),
        ("sop", f"{CONF['train_sop']}best_model_criterion: [[valid, ../acc, max]]\n", "criterion: write, for"),
        ("sop", CONF["train_sop"].replace("init_from", "Init_From"), "no key 'Init_From'; write init_from"),
        ("sop", f"{CONF['train_sop']}warmup: -1\n", "train_sop.yaml: warmup: -1 is neither a share"),
        ("sop", f"{CONF['train_sop']}warmup: 2.5\n", "train_sop.yaml: warmup: 2.5 is not a whole number of updates"),
        ("sop", f"{CONF['train_sop']}warmup: x\n", "train_sop.yaml: warmup: 'x' is neither a share"),
        ("espnet_sot", f"{CONF['train_espnet_sot']}train: false\n", "train: false takes the weights of init_from, and"),
        ("my sop", CONF["train_sop"], "train_my sop.yaml: 'my sop' cannot be the name of a system; rename the file"),
        ("pretrained", CONF["train_sot"], "'pretrained' cannot be the name of a system; rename the file"),
        ("ctc", CONF["train_ctc"].replace("sot", "sop"), "init_from goes in a circle: ctc -> sop -> ctc"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(conf, name, text, message):
    (conf / f"train_{name}.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as refused:
        resolve(conf, *known_systems(conf))
    assert str(conf) in str(refused.value) and "\n" not in str(refused.value)


def test_unknown_systems(conf, tmp_path):
    with pytest.raises(
        UserError, match="^--systems: no system 'sap': .*train_sap.yaml: no such configuration; there are"
    ):
        resolve(conf, "sap")
    with pytest.raises(UserError, match="^--systems: no system '../conf'"):
        resolve(conf, "../conf")
    (conf / "train_copy.yaml").mkdir()
    assert "copy" not in known_systems(conf), "a folder is no configuration"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no train_NAME.yaml here"):
        command.main([str(tmp_path / "empty")])
