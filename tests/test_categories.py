"""Names of categories: what one data set calls a thing, and which model has it."""

import pytest

from segcli.categories import COCO_NAMES, known_name
from segcli.errors import UsageError
from segcli.models.catalogue import describe
from segcli.models.registry import find
from segcli.pipeline.settings import label_of


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("person", "person"),
        ("Person", "person"),
        ("cell_phone", "cell phone"),
        ("TEDDY-BEAR", "teddy bear"),
        ("television_set", "tv"),
        ("tvmonitor", "tv"),
        ("car_(automobile)", "car"),
        ("mouse_(computer_equipment)", "mouse"),
        ("sofa", "couch"),
        ("aeroplane", "airplane"),
        ("bear_cub", None),
        ("", None),
    ],
)
def test_names_of_other_data_sets_are_understood(given, meant) -> None:
    assert known_name(given, COCO_NAMES) == meant


def test_every_name_of_coco_means_itself() -> None:
    assert [known_name(name, COCO_NAMES) for name in COCO_NAMES] == list(COCO_NAMES)
    assert known_name("tv", ("lamp", "television_set")) == "television_set"


def test_what_could_be_two_categories_is_neither() -> None:
    assert known_name("hot-dog", ("hot dog", "hot_dog")) is None
    assert known_name("hot dog", ("hot dog", "hot_dog")) == "hot dog"


def refusal(name: str) -> str:
    with pytest.raises(UsageError) as caught:
        label_of(name, find("maskrcnn/lite2")[1], argument="categories")
    return str(caught.value)


def test_an_unknown_category_names_the_model_that_has_it() -> None:
    first = next(row["model"] for row in describe()["models"] if "bear" in row["categories"])
    message = refusal("bear")
    assert message.startswith("`categories`: no 'bear' in maskrcnn/lite2 (person, bicycle, ")
    assert message.endswith(f"; {first} has it (`segcli models {first}`)")
    assert refusal("persn").endswith("; did you mean 'person'?")
    assert refusal("beer").endswith(f"; did you mean 'bear' ({first} has it)?")
    assert refusal("unicorn").endswith(", and no other model has it")
    assert label_of("motorbike", find("maskrcnn/lite2")[1], argument="categories") == 3
