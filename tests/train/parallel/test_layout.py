import collections
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxnn import train
from jaxnn.train import losses
from jaxnn.train.parallel import Layout, make_mesh, partition, shard_batch, shard_state
from tests.train.parallel.forms import (
    ADAM,
    ALL,
    BATCH,
    FORMS,
    MIN_SIZE,
    fresh,
    layout_of,
    new_state,
    placed,
    step_of,
    toy,
    trained,
)
from tests.train.toys import assert_same_bits, bits


@pytest.fixture(params=ALL, ids=[" ".join(pair) for pair in ALL])
def pair(request):
    return request.param


def worst(a, b):
    gaps = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), a, b)
    return max(jax.tree.leaves(gaps))


def test_equals_one_device(pair):
    """Losses, gradients and parameters after three steps of Adam, dropout's draws included."""
    name, form = pair
    got, want = trained(name, form), trained(name)
    np.testing.assert_allclose(got.losses, want.losses, atol=1e-5)
    assert worst(got.gradients, want.gradients) < 1e-5
    # Adam divides by the root of a second moment that may be tiny.
    assert worst(got.params, want.params) < 1e-5
    assert worst(got.params, jax.tree.map(np.asarray, fresh(name).params)) > 1e-2


def test_shardings_are_those_asked_for_and_do_not_drift(pair):
    """Equal, not only equivalent: another spelling would compile anew."""
    got = trained(*pair)
    for seen in got.states:
        assert jax.tree.leaves(seen) == jax.tree.leaves(got.wanted)


def test_no_parameter_that_should_be_split_is_whole(pair):
    name, form = pair
    _, tensor, axis = FORMS[form]
    state = placed(name, form)
    ways = state.layout.mesh.shape
    split = 0
    for room in (state.params, state.opt_state[0].mu, state.opt_state[0].nu):
        for path, leaf in jax.tree_util.tree_leaves_with_path(room):
            path = jax.tree_util.keystr(path, simple=True, separator="/")
            parts = {shard.data.size for shard in leaf.addressable_shards}
            assert len(parts) == 1
            fraction = leaf.size // parts.pop()
            want = 1
            if axis is not None and leaf.size >= MIN_SIZE:
                want *= ways[axis]
            in_table = any(re.search(pattern, f"params/{path}") for pattern, _ in toy(name).rules)
            if tensor and in_table:
                want *= ways["model"]
            assert fraction == want, path
            split += fraction > 1
    assert split >= 6 or (axis is None and not tensor)


def collectives(hlo):
    """Shapes by kind: of gathers what comes out, of reductions what goes in."""
    hlo = re.sub(r"/\*.*?\*/", "", hlo)
    found = collections.defaultdict(list)
    kinds = "all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute"
    for out, kind in re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", hlo):
        for dtype, sizes in re.findall(r"(\w+)\[([\d,]*)\]", out):
            # A product may be computed transposed.
            shape = tuple(sorted(int(size) for size in sizes.split(",") if size))
            found[kind].append((dtype, shape))
    return found


def shapes_of(name):
    leaves = jax.tree.leaves(fresh(name).params)
    return collections.Counter(tuple(sorted(leaf.shape)) for leaf in leaves)


def gathered(name, form):
    return {shape for _, shape in collectives(trained(name, form).hlo)["all-gather"]}


def parts(state, rules):
    """Shapes of what a device has of each parameter by a table."""
    shardings = partition(state.params, rules, state.layout.mesh)
    both = zip(jax.tree.leaves(state.params), jax.tree.leaves(shardings), strict=True)
    return [tuple(sorted(sharding.shard_shape(leaf.shape))) for leaf, sharding in both]


def test_data_parallelism_sums_gradients_and_sends_nothing_else():
    found = collectives(trained("mlp", "data 8").hlo)
    assert set(found) == {"all-reduce"}
    # Every gradient once, and the loss.
    sums = collections.Counter(shape for _, shape in found["all-reduce"])
    assert sums == shapes_of("mlp") + collections.Counter([()])


@pytest.mark.parametrize("name", ["mlp", "transformer"])
def test_fully_sharded_gathers_parameters_and_sums_gradients(name):
    """All that are spread are gathered, and activations never."""
    found = collectives(trained(name, "fsdp 8").hlo)
    assert set(found) <= {"all-gather", "reduce-scatter", "all-reduce"}
    whole = shapes_of(name)
    spread = {shape for shape in whole if np.prod(shape) >= MIN_SIZE}
    assert gathered(name, "fsdp 8") == spread
    # XLA for processors has no pass that makes a sum and a slice into a reduce-scatter.
    summed = collections.Counter(
        shape for kind in ("all-reduce", "reduce-scatter") for _, shape in found[kind]
    )
    assert summed == whole + collections.Counter([()])


@pytest.mark.parametrize(
    ("name", "form"),
    [("mlp", "model 4"), ("mlp", "data 2 x model 4"), ("transformer", "data 2 x model 4")],
)
def test_tensor_parallelism_gathers_no_parameter(name, form):
    found = collectives(trained(name, form).hlo)
    state = placed(name, form)
    assert not found["all-to-all"]
    assert not found["collective-permute"]
    if name == "mlp":
        # Columns, then rows: sums of outputs are all that is sent.
        assert not gathered(name, form)
    whole = {tuple(sorted(leaf.shape)) for leaf in jax.tree.leaves(state.params) if leaf.ndim > 1}
    assert len(whole) >= 3
    assert not gathered(name, form) & whole
    if form == "model 4":
        # Gradients of what is split concern nobody else.
        own = {shape for shape in parts(state, toy(name).rules) if len(shape) > 1}
        assert not own & {shape for _, shape in found["all-reduce"]}


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("mlp", "data 2 x fsdp 4"),
        ("mlp", "fsdp 4 x model 2"),
        ("mlp", "data 2 x fsdp 2 x model 2"),
        ("transformer", "fsdp 4 x model 2"),
    ],
)
def test_fully_sharded_and_tensor_together_gather_only_over_the_data(name, form):
    """A device gathers its columns or rows of a parameter, never the whole."""
    state = placed(name, form)
    used = parts(state, toy(name).rules if FORMS[form][1] else ())
    kept = parts(state, state.layout.rules)
    wanted = {u for u, k in zip(used, kept, strict=True) if u != k}
    found = {shape for shape in gathered(name, form) if len(shape) < 3}
    assert found == wanted
    assert not collectives(trained(name, form).hlo)["all-to-all"]


@pytest.mark.parametrize("form", ["fsdp 8", "data 2 x model 4"])
def test_no_device_ever_holds_the_whole_while_a_state_is_made(form):
    """The program that makes it has no array of a split parameter's own shape."""
    from jaxnn.train import _state

    layout = layout_of("mlp", form)
    recipe = _state._Recipe(toy("mlp").model, ADAM, None, layout)
    lowered = _state._make.lower(recipe, jax.random.key(0), toy("mlp").x[:1], None)
    hlo = lowered.compile().as_text()
    state = new_state("mlp", layout)
    kernels = [state.params[f"dense_{i}"]["kernel"] for i in range(3)]
    parts = {leaf.sharding.shard_shape(leaf.shape) for leaf in kernels}
    for leaf in kernels:
        text = f"[{leaf.shape[0]},{leaf.shape[1]}]"
        assert leaf.shape in parts or text not in hlo, text
        part = leaf.sharding.shard_shape(leaf.shape)
        assert f"[{part[0]},{part[1]}]" in hlo
    assert_same_bits(jax.tree.map(np.asarray, state.params), bits(fresh("mlp").params))


def test_a_state_made_elsewhere_moves_and_stays_alive():
    """Its memory is not given away with the moved one's."""
    state = fresh("mlp")
    before = bits(state)
    layout = layout_of("mlp", "data 2 x model 4")
    moved = shard_state(state, layout)
    assert moved.layout is layout
    assert jax.tree.leaves(jax.tree.map(lambda leaf: leaf.sharding, moved)) == jax.tree.leaves(
        layout.shardings(state)
    )
    assert_same_bits(moved.params, before.params)
    moved, metrics = step_of()(moved, (toy("mlp").x, toy("mlp").y))
    assert float(metrics["loss"]) == pytest.approx(
        trained("mlp", "data 2 x model 4").losses[0], abs=1e-6
    )
    assert_same_bits(state, before)


def test_batches_are_split_over_the_data_axes_together():
    layout = layout_of("mlp", "data 2 x fsdp 4")
    assert layout.batch_ways == 8
    x, y = shard_batch((toy("mlp").x, toy("mlp").y), layout)
    assert x.sharding == NamedSharding(layout.mesh, P(("data", "fsdp")))
    assert {shard.data.shape for shard in x.addressable_shards} == {(2, 16)}
    assert {shard.data.shape for shard in y.addressable_shards} == {(2,)}
    np.testing.assert_array_equal(x, toy("mlp").x)
    assert shard_batch((x, y), layout)[0] is x
    whole = shard_batch(toy("mlp").x, layout_of("mlp", "model 4"))
    assert whole.is_fully_replicated


def test_equal_layouts_are_one_program():
    layout = Layout(make_mesh("data=2,model=4"), [("kernel", P(None, "model"))])
    assert layout == Layout(make_mesh("data=2,model=4"), (("kernel", P(None, "model")),))
    assert (
        len(
            {layout, Layout(make_mesh("data=2,model=4"), layout.rules), Layout(make_mesh("data=8"))}
        )
        == 2
    )
    assert layout.batch_axes == ("data",)
    assert Layout(make_mesh("a=8"), batch_axes=("a",)).batch_ways == 8
    assert Layout(make_mesh("model=8")).batch_ways == 1


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_named():
    layout = Layout(make_mesh("data=8"))
    with pytest.raises(ValueError, match=r"Layout: `batch_axes` is \('x',\); .*\('data',\)"):
        Layout(make_mesh("data=8"), batch_axes=("x",))
    needs = r"shard_batch: `batch` is \(12, 16\); .* the 8 devices of \('data',\) divide"
    with pytest.raises(ValueError, match=needs):
        shard_batch(np.zeros((12, 16)), layout)
    with pytest.raises(ValueError, match=needs):
        step_of()(
            shard_state(fresh("mlp"), layout), (jnp.zeros((12, 16)), jnp.zeros(12, jnp.int32))
        )
    rules = (("dense_0/kernel", P("data", "model")),)
    with pytest.raises(ValueError, match=r"params/dense_0/kernel of shape \(16, 24\)"):
        new_state("mlp", Layout(make_mesh("data=3,model=1"), rules))


def test_accumulated_parts_are_each_split():
    """The gradient of the whole batch in a part's memory, and the parts over the devices."""
    step = train.make_step(losses.cross_entropy, accumulate_steps=2)
    batch = (toy("mlp").x, toy("mlp").y)
    layout = layout_of("mlp", "fsdp 8")
    got, _ = step(placed("mlp", "fsdp 8"), batch)
    want, _ = step(new_state("mlp"), batch)
    assert worst(jax.tree.map(np.asarray, got.params), jax.tree.map(np.asarray, want.params)) < 1e-5
    assert [leaf.sharding for leaf in jax.tree.leaves(got)] == jax.tree.leaves(
        layout.shardings(got)
    )
    assert layout.batch_ways == BATCH // 2


class Remembering(nn.Module):
    """Keeps its last batch, which comes split over the devices."""

    @nn.compact
    def __call__(self, x):
        last = self.variable("memory", "last", jnp.zeros_like, x)
        if not self.is_initializing():
            last.value = x
        return nn.Dense(8)(x)


def test_what_the_compiler_would_move_stays():
    """The layout has the memory whole; left to itself it would lie as the batch does."""
    layout = Layout(make_mesh("data=8"))
    x, y = toy("mlp").x, toy("mlp").y
    state = train.create_state(Remembering(), ADAM, x, key=jax.random.key(0), layout=layout)
    state, _ = step_of()(state, (x, y))
    last = state.collections["memory"]["last"]
    np.testing.assert_array_equal(last, x)
    assert last.sharding == NamedSharding(layout.mesh, P())


def test_processes_that_share_examples_are_refused(monkeypatch):
    """All eight parts of a batch lie on this process's devices, and it is said to be one of two."""
    layout = Layout(make_mesh("data=8"))
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match=r"gives this process 8 of the 8 parts .* batch first"):
        shard_batch(np.zeros((8, 2), np.float32), layout)
