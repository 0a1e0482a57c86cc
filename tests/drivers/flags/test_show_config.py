"""--show_config prints what a command would run with, as a file that runs the same."""


def shown(causeway, *arguments):
    done = causeway(*arguments, "--show_config")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_what_is_printed_is_a_flagfile_of_the_same_command(causeway, tmp_path):
    lines = shown(causeway, "screen", "--states=20", "--out=runs/a b", "--groups=won,lost", "--novary_start")
    assert lines[:5] == ["# causeway screen", "--groups=won,lost", "--out=runs/a b", "--states=20", "--novary_start"]
    assert "# defaults" in lines
    assert "# --batch_rows=16" in lines
    assert "# --prompts: nothing" in lines
    (tmp_path / "screen.flags").write_text("\n".join(lines))
    assert shown(causeway, "screen", f"--flagfile={tmp_path / 'screen.flags'}") == lines


def test_a_configuration_is_shown_after_overrides(causeway, tmp_path):
    lines = shown(causeway, "study", "--workdir=x", "--config.shared.seed=3", "--config.stages[0].flags.train=20")
    assert "--config.shared.seed=3" in lines
    assert "# config.shared.seed = 3  (given)" in lines
    assert "# config.stages[0].flags.train = 20  (given)" in lines
    assert "# config.stages[0].flags.test = 6" in lines


def test_values_from_a_configuration_are_told_from_defaults(causeway, tmp_path):
    path = tmp_path / "values.py"
    path.write_text(
        "from ml_collections import ConfigDict\n\n\n"
        "def get_config():\n    return ConfigDict({'attribute': {'max_logits': 4, 'seed': 7}})\n"
    )
    lines = shown(causeway, "attribute", f"--config={path}", "--seed=8", "--prompt=44+95=", "--workdir=x")
    part = lines[lines.index("# from --config") + 1 : lines.index("# defaults")]
    assert part == ["# --max_logits=4"]
    assert "--seed=8" in lines


def test_a_wrong_configuration_is_refused(causeway, tmp_path):
    done = causeway("attribute", f"--config={tmp_path / 'none.py'}", "--show_config")
    assert done.returncode == 2
    assert done.stderr.startswith("causeway attribute: --config: got ")


def test_drivers_without_a_configuration_have_values_too(causeway):
    assert "# --notraceback" in shown(causeway, "select")
