import math
import re

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxnn import models, train
from jaxnn.cli._models import MODELS
from jaxnn.train import parallel
from jaxnn.train.parallel import fully_sharded, if_divisible, make_mesh, partition


@pytest.fixture(scope="module")
def mesh():
    return make_mesh("data=2,model=4")


def specs(tree):
    return jax.tree.map(lambda sharding: sharding.spec, tree)


def shapes(**sizes):
    return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in sizes.items()}


def test_the_first_match_wins(mesh):
    tree = {"a": shapes(kernel=(8, 4), bias=(4,)), "b": shapes(kernel=(8, 4))}
    rules = (("a/kernel", P("model")), ("kernel", P(None, "model")), ("kernel", P()))
    want = {"a": {"kernel": P("model"), "bias": P()}, "b": {"kernel": P(None, "model")}}
    assert specs(partition(tree, rules, mesh)) == want
    swapped = specs(partition(tree, rules[1:] + rules[:1], mesh))
    assert swapped["a"]["kernel"] == P(None, "model")


def test_one_spelling_for_each_sharding(mesh):
    rules = (("w", P("model", None)),)
    assert partition(shapes(w=(4, 4)), rules, mesh)["w"] == NamedSharding(mesh, P("model"))


@pytest.mark.parametrize(
    ("shape", "spec", "message"),
    [
        ((6, 4), P("model"), r"a/w of shape \(6, 4\) cannot .* 'model', whose 4 .* 0 of size 6"),
        ((8, 4), P(None, ("data", "model")), r"\('data', 'model'\), whose 8 .* dimension 1"),
        ((8,), P("model", None), r"a/w of shape \(8,\) has 2 entries"),
        ((8,), P("expert"), r"for a/w` is \['expert'\]; .*mesh, data=2, model=4"),
        ((8,), if_divisible("expert"), r"for a/w` is \['expert'\]"),
    ],
)
def test_a_rule_that_does_not_fit_is_named(mesh, shape, spec, message):
    with pytest.raises(ValueError, match=f"partition: .*{message}"):
        partition({"a": shapes(w=shape)}, (("w", spec),), mesh)
    with pytest.raises(ValueError, match="mesh, data=2, model=4"):
        partition({"a": shapes(w=(8, 8))}, fully_sharded(axis="fsdp", min_size=1), mesh)


def test_if_divisible_leaves_whole_what_is_not(mesh):
    tree = shapes(fits=(3, 8), odd=(3, 6), both=(8, 6))
    rules = (("both", if_divisible("data", "model")), ("", if_divisible(None, "model")))
    want = {"fits": P(None, "model"), "odd": P(), "both": P("data")}
    assert specs(partition(tree, rules, mesh)) == want


def test_fully_sharded_takes_the_largest_dimension_that_divides(mesh):
    tree = shapes(
        tall=(8, 4), wide=(4, 8), square=(6, 6), odd=(9, 8), prime=(11, 13), small=(2, 2), one=()
    )
    want = {
        "tall": P("data"),
        "wide": P(None, "data"),
        "square": P("data"),
        "odd": P(None, "data"),
        "prime": P(),
        "small": P(),
        "one": P(),
    }
    assert specs(partition(tree, fully_sharded(min_size=5), mesh)) == want
    assert specs(partition(tree, fully_sharded(min_size=4), mesh))["small"] == P("data")


def test_fully_sharded_goes_beside_other_axes_or_where_there_is_room(mesh):
    rules = (("column", P(None, "model")), ("mixed", P("data", "model")))
    tree = shapes(column=(6, 16), column_12=(6, 12), column_tight=(3, 4), mixed=(2, 4), rest=(4, 2))
    want = {
        "column": P(None, ("model", "data")),
        "column_12": P("data", "model"),
        "column_tight": P(None, "model"),
        "mixed": P("data", "model"),
        "rest": P("data"),
    }
    assert specs(partition(tree, fully_sharded(rules, min_size=1), mesh)) == want
    small = specs(partition(tree, fully_sharded(rules, min_size=1000), mesh))
    assert small["column"] == P(None, "model")
    assert small["rest"] == P()
    twice = fully_sharded(fully_sharded(rules, min_size=1), min_size=1)
    assert specs(partition(tree, twice, mesh)) == want


def test_min_size_is_checked():
    with pytest.raises(ValueError, match="fully_sharded: `min_size` is 0"):
        fully_sharded(min_size=0)


def abstract_state(tx, ema_decay=None):
    model = models.MLP((16, 8))
    return jax.eval_shape(
        lambda: train.create_state(
            model, tx, jnp.zeros((1, 12)), key=jax.random.key(0), ema_decay=ema_decay
        )
    )


def test_the_optimiser_and_the_average_follow_the_parameters(mesh):
    """Also when a rule names the parameters' own room, which their paths there have not."""
    rules = (("^params/dense_0/kernel$", P(None, "model")), ("^params/dense_1/bias", P("data")))
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.constant_schedule(0.1)))
    found = specs(partition(abstract_state(tx, ema_decay=0.9), rules, mesh))
    want = {
        "dense_0": {"kernel": P(None, "model"), "bias": P()},
        "dense_1": {"kernel": P(), "bias": P("data")},
    }
    assert found.params == want
    assert found.ema == want
    assert found.opt_state[1][0].mu == want
    assert found.opt_state[1][0].nu == want
    assert found.opt_state[1][0].count == P()
    assert found.step == P()
    assert found.key == P()


def test_factored_moments_have_another_shape_and_stay_whole(mesh):
    rules = (("dense_0/kernel$", P(None, "model")),)
    state = abstract_state(optax.adafactor(0.1, min_dim_size_to_factor=4))
    leaves = jax.tree_util.tree_leaves_with_path((state, partition(state, rules, mesh)))
    half = len(leaves) // 2
    seen = 0
    for (path, leaf), (_, sharding) in zip(leaves[:half], leaves[half:], strict=True):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name.endswith("dense_0/kernel"):
            seen += 1
            assert sharding.spec == (P(None, "model") if leaf.shape == (12, 16) else P()), name
    assert seen >= 3


def big(params, least=1024):
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if leaf.size >= least:
            yield jax.tree_util.keystr(path, simple=True, separator="/"), leaf


TOKENS = jnp.zeros((2, 16), jnp.int32)
PICTURES = jnp.zeros((2, 8, 8))
KNOWN = {
    "mlp": (lambda: MODELS["mlp"].config().build((8, 8), 12), (PICTURES,), parallel.MLP_RULES),
    "residual": (lambda: models.ResidualMLP(8), (PICTURES,), parallel.MLP_RULES),
    "spiking": (lambda: models.SpikingMLP((32, 32, 10)), (PICTURES,), parallel.MLP_RULES),
    "kan": (lambda: models.KAN((32, 32, 8)), (PICTURES,), parallel.KAN_RULES),
    "vit": (
        lambda: MODELS["vit"].config().build((8, 8), 10),
        (PICTURES,),
        parallel.TRANSFORMER_RULES,
    ),
    "gpt": (
        lambda: MODELS["gpt"].config().build((16,), 256),
        (TOKENS,),
        parallel.TRANSFORMER_RULES,
    ),
    "stacked": (
        lambda: models.Transformer(64, depth=2, scan=True),
        (TOKENS,),
        parallel.TRANSFORMER_RULES,
    ),
    "encoder-decoder": (
        lambda: models.EncoderDecoder(64, depth=1),
        (TOKENS, TOKENS),
        parallel.TRANSFORMER_RULES,
    ),
}
# What stays whole on purpose: the maps between a residual MLP's data and its stream.
WHOLE = {"residual": "inputs/kernel|outputs/kernel"}


@pytest.mark.parametrize("name", KNOWN)
def test_the_ready_tables_split_every_big_parameter(mesh, name):
    make, inputs, rules = KNOWN[name]
    model = make()
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs))["params"]
    shardings = partition(params, rules, mesh)
    found = dict(jax.tree_util.tree_leaves_with_path(shardings))
    found = {jax.tree_util.keystr(k, simple=True, separator="/"): v for k, v in found.items()}
    assert len(list(big(params))) >= 2
    for path, leaf in big(params):
        if re.fullmatch(WHOLE.get(name, "-"), path):
            assert found[path].spec == P(), path
            continue
        part = found[path].shard_shape(leaf.shape)
        assert 4 * math.prod(part) == leaf.size, path
        if name in ("gpt", "vit", "stacked", "encoder-decoder"):
            rows = re.search("/(out|down)/|tokens", path)
            split = -2 if rows else -1
            assert part[split] * 4 == leaf.shape[split], path
