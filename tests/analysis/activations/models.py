"""Small models with every kind of submodule."""

from flax import linen as nn


class Block(nn.Module):
    """Two maps around a ReLU, and a way past them."""

    @nn.compact
    def __call__(self, x):
        hidden = nn.Dense(4, name="up")(x)
        self.sow("intermediates", "hidden", hidden)
        return x + nn.Dense(3, name="down")(nn.relu(hidden))


class Twice(Block):
    """A module whose call goes through its parent's."""

    @nn.compact
    def __call__(self, x):
        return 2 * super().__call__(x)


class Layer(nn.Module):
    """A block in the form that nn.scan takes."""

    @nn.compact
    def __call__(self, x, _):
        return Block(name="block")(x), None


class Model(nn.Module):
    """Blocks plain, shared, rematerialised, inherited, scanned, and a cell with two outputs."""

    @nn.compact
    def __call__(self, x):
        x = Block(name="first")(x)
        shared = Block(name="shared")
        x = shared(shared(x))
        x = nn.remat(Block)(name="saved")(x)
        x = Twice(name="twice")(x)
        layers = nn.scan(
            Layer,
            variable_axes={"params": 0, "intermediates": 0},
            split_rngs={"params": True},
            length=2,
        )
        x, _ = layers(name="layers")(x, None)
        cell = nn.GRUCell(3, name="cell")
        carry, x = cell(x, x)
        return nn.Dense(2, name="head")(x + carry)
