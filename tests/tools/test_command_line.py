from rankdet.tools.command_line import split_overrides


def test_overrides_may_stand_behind_options_with_several_values():
    arguments = ["--seeds", "0", "1", "train.max_iter=9", "--jobs", "2", "+a.b={x: 1=2}"]
    rest, overrides = split_overrides(arguments)
    assert rest == ["--seeds", "0", "1", "--jobs", "2"]
    assert overrides == ["train.max_iter=9", "+a.b={x: 1=2}"]


def test_options_paths_and_files_are_no_overrides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.png").touch()
    arguments = ["--output=out", "frames/x=1.png", "a=b.png"]
    assert split_overrides(arguments) == (arguments, [])
