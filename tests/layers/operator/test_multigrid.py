import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import operator
from jaxnn.layers.operator import MultigridLevel

MODES = {"dirichlet": "constant", "neumann": "reflect", "periodic": "wrap"}
cycle = jax.jit(operator.multigrid_cycle, static_argnames="boundary")


def correlate(x, kernel, boundary):
    """Sum taps one by one; x is (rows, columns, in), the kernel (k, k, in, out)."""
    r, c = (size // 2 for size in kernel.shape[:2])
    wide = np.pad(x, ((r, r), (c, c), (0, 0)), mode=MODES[boundary])  # pyright: ignore
    y = np.zeros((*x.shape[:2], kernel.shape[-1]))
    for i, j in np.ndindex(*kernel.shape[:2]):
        y += wide[i : i + x.shape[0], j : j + x.shape[1]] @ kernel[i, j]
    return y


def plain_cycle(f, levels, boundary):
    """The V-cycle of one example on the whole grid, of which the coarse one is a slice."""
    level, coarser = levels[0], levels[1:]
    u = np.zeros((*f.shape[:2], level.operator.shape[2]))
    for smoother in level.pre:
        u = u + correlate(f - correlate(u, level.operator, boundary), smoother, boundary)
    if coarser:
        kept = slice(1 if boundary == "dirichlet" else 0, None, 2)
        rest = f - correlate(u, level.operator, boundary)
        rest = correlate(rest, level.restriction, boundary)[kept, kept]
        sparse = np.zeros_like(u)
        sparse[kept, kept] = plain_cycle(rest, coarser, boundary)
        u = u + correlate(sparse, level.prolongation, boundary)
    for smoother in level.post:
        u = u + correlate(f - correlate(u, level.operator, boundary), smoother, boundary)
    return u


def filled(module, x):
    """Make parameters of a module's shapes, without compiling its initialisers."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    random = np.random.default_rng(1)
    return jax.tree.map(lambda s: jnp.asarray(random.normal(0, 0.3, s.shape), s.dtype), shapes)


def random_levels(key, count, *, u=3, f=2, steps=(2, 1)):
    def level(key):
        shapes = [(u, f), (f, u), (f, u), (f, f), (u, u)]
        leading = [(), steps[:1], steps[1:], (), ()]
        keys = jax.random.split(key, 5)
        return MultigridLevel(
            *(
                0.2 * jax.random.normal(k, (*lead, 3, 3, *shape))
                for k, lead, shape in zip(keys, leading, shapes, strict=True)
            )
        )

    return [level(k) for k in jax.random.split(key, count)]


@pytest.mark.parametrize("boundary", MODES)
def test_equals_a_plain_cycle(key, boundary):
    """Odd and even sizes, three grids, other numbers of steps before and after."""
    shape = (8, 12) if boundary == "periodic" else (9, 12)
    levels = random_levels(key, 3)
    f = jax.random.normal(key, (2, *shape, 2))
    got = cycle(f, levels, boundary=boundary)
    loops = [jax.tree.map(lambda k: np.asarray(k, float), level) for level in levels]
    want = np.stack([plain_cycle(np.asarray(one, float), loops, boundary) for one in f])
    np.testing.assert_allclose(got, want, atol=1e-4)


def laplacian(u):
    """Give -h²Δ of (*space, 1), 0 beyond the edges."""
    around = jnp.zeros_like(u)
    for axis in range(u.ndim - 1):
        n = u.shape[axis]
        wide = jnp.pad(u, [(1, 1) if a == axis else (0, 0) for a in range(u.ndim)])
        for start in (0, 2):
            around = around + jax.lax.slice_in_dim(wide, start, start + n, axis=axis)
    return 2 * (u.ndim - 1) * u - around


@pytest.mark.parametrize(("axes", "bound"), [(1, 0.3), (2, 0.45)])
def test_classical_weights_contract_alike_on_all_grids(key, axes, bound):
    """The spectral radius of I - W A, by 30 steps of the power method.

    Theory for damped Jacobi before and after in two dimensions: 0.6² = 0.36 on two grids; in one
    dimension (1/3)² = 0.11 of high frequencies, on many grids somewhat more.
    """
    radii = []
    for cells in (16, 64) if axes == 2 else (16,):
        n, count = cells - 1, cells.bit_length() - 1
        levels = operator.poisson_levels(count, axes=axes)

        @jax.jit
        def contract(e, levels=levels):
            def step(e, _):
                e = e - operator.multigrid_cycle(laplacian(e), levels)
                size = jnp.linalg.norm(e)
                return e / size, size

            return jax.lax.scan(step, e, length=30)[1]

        e = jax.random.normal(key, (n,) * axes + (1,))
        radii.append(float(np.exp(np.mean(np.log(contract(e)[-8:])))))
    assert max(radii) <= bound
    assert max(radii) - min(radii) < 0.05
    assert min(radii) > 0.05  # one cycle is no direct solver: a cycle of nothing would be


def test_restriction_and_prolongation_of_flipped_kernels_are_adjoint(key):
    """P = Rᵀ: with one smoothing kernel before and after, the cycle is then symmetric."""
    a, s, r = np.random.default_rng(0).normal(0, 0.3, (3, 3, 3, 2, 2)).astype(np.float32)

    def flipped(kernel):
        return np.flip(kernel, (0, 1)).swapaxes(-1, -2)

    x, y = np.asarray(jax.random.normal(key, (2, 7, 7, 2)))
    for p in (flipped(r), r):
        levels = [MultigridLevel((a + flipped(a)) / 2, s[None], flipped(s)[None], r, p)] * 2
        wx, wy = cycle(jnp.stack([x, y]), levels)
        near = np.isclose(np.vdot(y, wx), np.vdot(wy, x), rtol=1e-3)
        assert near == (p is not r)


def test_the_layer_is_exactly_linear_and_sees_everything(key):
    layer = operator.MgConv(3, levels=3)
    u, v = jax.random.normal(key, (2, 7, 7, 2))
    corner = jnp.zeros_like(u).at[0, 0].set(1)
    examples = jnp.stack([u, v, 2 * u - 3 * v, corner])
    wu, wv, got, seen = jax.jit(layer.apply)({"params": filled(layer, u)}, examples)
    want = 2 * wu - 3 * wv
    np.testing.assert_allclose(got, want, atol=1e-5 * float(jnp.abs(want).max()))
    assert (jnp.abs(seen).sum(-1) > 0).all()


def test_boundaries(key):
    """-Δ takes constants to 0 where edges reflect or wrap; wrapping commutes with shifts."""
    levels = operator.poisson_levels(2)
    levels = [level._replace(pre=level.operator[None], post=None) for level in levels]
    ones = jnp.ones((8, 8, 1))
    assert jnp.abs(cycle(jnp.ones((9, 9, 1)), levels, boundary="neumann")).max() == 0
    assert jnp.abs(cycle(ones, levels, boundary="dirichlet")).max() > 0.5
    x = jax.random.normal(key, (8, 8, 1))
    batch = jnp.stack([ones, x, jnp.roll(x, (2, 4), (0, 1))])
    nothing, want, shifted = cycle(batch, levels, boundary="periodic")
    assert jnp.abs(nothing).max() == 0
    np.testing.assert_allclose(shifted, jnp.roll(want, (2, 4), (0, 1)), atol=1e-4)


def test_shared_kernels_are_one_set(key):
    x = jax.random.normal(key, (15, 2))
    one = operator.MgConv(3, axes=1, levels=3, shared=True, use_local=True, activation=jnp.tanh)
    many = one.clone(shared=False)
    shared = filled(one, x)
    assert set(shared) == {"operator", "pre", "post", "restriction", "prolongation", "local"}
    copies = {
        f"{name}_{grid}": value
        for name, value in shared.items()
        for grid in range(3)
        if name != "local" and not (grid == 2 and name in ("restriction", "prolongation"))
    }
    assert set(copies) | {"local"} == set(jax.eval_shape(many.init, key, x)["params"])
    got = jax.jit(one.apply)({"params": shared}, x)
    want = jax.jit(many.apply)({"params": {**copies, "local": shared["local"]}}, x)
    np.testing.assert_allclose(got, want, atol=1e-6)
    linear = one.clone(use_local=False, activation=None)
    plain = {name: value for name, value in shared.items() if name != "local"}
    inside = linear.apply({"params": plain}, x) + x @ shared["local"]["kernel"]
    inside = inside + shared["local"]["bias"][None]
    np.testing.assert_allclose(got, jnp.tanh(inside), atol=1e-5)


def test_too_many_grids():
    levels = operator.poisson_levels(4)
    with pytest.raises(ValueError, match=r"multigrid_cycle: `f` .* Use fewer levels"):
        operator.multigrid_cycle(jnp.ones((7, 7, 1)), levels)
    with pytest.raises(ValueError, match=r"`f` .* halve evenly"):
        operator.multigrid_cycle(jnp.ones((6, 6, 1)), levels[:3], boundary="periodic")
