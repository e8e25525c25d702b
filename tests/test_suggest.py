"""The name that was probably meant."""

from segcli.suggest import did_you_mean, nearest


def test_the_nearest_name_whatever_its_case() -> None:
    assert nearest("PERSN", ["car", "Person", "parson"]) == "Person"
    assert nearest("zebra", ["car", "person"]) is None
    assert nearest("car", []) is None


def test_the_end_of_a_message() -> None:
    assert did_you_mean("persn", ["person"]) == "; did you mean 'person'?"
    assert did_you_mean("zebra", ["person"]) == ""
