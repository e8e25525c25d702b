from pathlib import Path

import pytest

from segcli.store import fresh_path, new_command
from segcli.store.footer import Footer, Settings, differences


def footer(names=("person",), **compared):
    return Footer(Settings(compared, {}), names, tuple(range(len(names))), 1)


def test_equal_runs_do_not_differ():
    assert differences(footer(min_score=0.05), footer(min_score=0.05)) == []


@pytest.mark.parametrize(
    ("there", "now", "text"),
    [
        (0.05, 0.3, "`min_score`: 0.05 there, 0.3 now"),
        (None, 0.3, "`min_score`: none there, 0.3 now"),
    ],
)
def test_an_option_is_named_as_an_argument(there, now, text):
    assert differences(footer(min_score=there), footer(min_score=now)) == [text]


def test_settings_are_named_as_they_were_given():
    def texts(there, now):
        return differences(footer(**there), footer(**now))

    static = {"threshold": 4.0, "max_age_s": 300.0}
    assert texts({"runtime": "openvino"}, {}) == ["`runtime`: openvino there, torch now"]
    assert texts({}, {"static": static}) == ["`skip_static`: off there, on now"]
    assert texts({"static": static}, {"static": {**static, "threshold": 9.0}}) == [
        "`static_threshold`: 4.0 there, 9.0 now"
    ]
    assert texts({"slice": {"side": 640, "overlap": 64}}, {}) == ["`slice`: 640 px there, none now"]
    assert texts({"class_scores": {"car": 0.4, "dog": 0.5}}, {"class_scores": {"car": 0.3}}) == [
        "`class_scores`: car 0.4, dog 0.5 there, car 0.3 now"
    ]
    one, other = (
        Footer(Settings({"zones": {"sha256": n * 64}}, {"zones_file": {"path": path}}), (), (), 1)
        for n, path in (("a", "zones.json"), ("b", "zones.json"))
    )
    assert differences(one, other) == [
        "`zones`: zones.json (sha256 aaaaaaaa) there, zones.json (sha256 bbbbbbbb) now"
    ]
    part = {"side": 640, "overlap": 64, "joining": 1}
    (text,) = texts({"slice": part}, {"slice": {**part, "joining": 2}})
    assert '"joining": 1} there' in text


def test_other_facts_are_named_in_words():
    assert differences(footer(weights_sha256="ab"), footer(weights_sha256="cd")) == [
        "weights (sha256): ab there, cd now"
    ]


def test_the_source_root_is_judged_elsewhere():
    assert differences(footer(source_root="/a"), footer(source_root="/b")) == []


def test_of_long_lists_only_the_differing_elements_are_shown():
    names = tuple(f"category {i}" for i in range(80))
    assert differences(footer(names), footer((*names[:-1], "cat"))) == [
        'the model\'s categories: ["category 79 (79)"] there, ["cat (79)"] now'
    ]


def test_a_tuple_is_the_list_that_json_makes_of_it():
    there = Footer.from_json(footer(categories=("a", "b"), at=(1, 2)).to_json())
    assert differences(there, footer(categories=("a", "b"), at=(1, 2))) == []


def test_a_footer_survives_its_json():
    given = Footer(
        Settings({"source_root": "/caf\udce9"}, {"command": ["x"]}, "cam1/"),
        ("a",), (7,), 1, images=3, failed=1, masks=5, redone={"v": 2},
    )  # fmt: skip
    assert Footer.from_json(given.to_json()) == given


def test_a_new_output_gets_the_first_free_number(tmp_path):
    assert fresh_path(tmp_path / "masks.parquet") == tmp_path / "masks-2.parquet"
    (tmp_path / "masks-2.parquet").mkdir()
    assert fresh_path(tmp_path / "masks.parquet") == tmp_path / "masks-3.parquet"


@pytest.mark.parametrize(
    ("command", "new"),
    [
        (["segcli", "--out", "m.parquet", "a b"], "segcli --out m-2.parquet 'a b'"),
        (["segcli", "--out=m.parquet", "x"], "segcli --out=m-2.parquet x"),
        (["segcli", "predict", "x"], "segcli predict x --out m-2.parquet"),
        (None, "`out='m-2.parquet'`"),
    ],
)
def test_the_command_for_a_new_output(command, new):
    assert new_command(Path("m.parquet"), Settings({}, {"command": command})) == new
