import jax
import pytest
from jax.sharding import AxisType

from jaxnn.train.parallel import make_mesh


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("data=4,model=2", {"data": 4, "model": 2}),
        (" data = 2 , model = 2 ", {"data": 2, "model": 2}),
        ({"data": -1, "model": 2}, {"data": 4, "model": 2}),
        ("data=-1", {"data": 8}),
        ("data=8,model=-1", {"data": 8, "model": 1}),
    ],
)
def test_sizes_by_name(axes, shape):
    mesh = make_mesh(axes)
    assert dict(mesh.shape) == shape
    assert list(mesh.shape) == list(shape), "the order is the one asked for"
    assert set(mesh.axis_types) == {AxisType.Auto}


def test_takes_the_first_devices_or_those_given():
    assert list(make_mesh("data=2").devices.flat) == jax.devices()[:2]
    chosen = jax.devices()[4:6]
    assert set(make_mesh("data=-1", devices=chosen).devices.flat) == set(chosen)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("data=16", "axes` is 'data=16'; it needs 16 devices, and there are 8 cpu devices"),
        ("data=3,model=-1", r"product 3 divides the devices; there are 8 cpu"),
        ("data=-1,model=-1", "one at most -1; there are 8 cpu devices"),
        ("data", "axes` is 'data'; it needs sizes by name"),
        ("", "axes` is ''"),
        ("data=2,data=4", "axes` is 'data=2,data=4'"),
        ("data=0", "axes` is 'data=0'"),
        ({"data": True}, "axes` is {'data': True}"),
        ({}, "axes` is {}"),
    ],
)
def test_what_cannot_be_made_is_named(axes, message):
    with pytest.raises(ValueError, match=f"make_mesh: `.*{message}"):
        make_mesh(axes)
