"""A small convolutional network in NumPy, layer by layer, and the same in flax and torch.

Weights are NumPy arrays: ``kernel`` (3, 3, in, out) and ``bias`` of two convolutions of valid
padding, 2 x 2 max pooling after the first, and two dense layers; images are 8 x 8 x 1.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

SHAPES: dict[str, tuple[int, ...]] = {
    "Conv_0": (3, 3, 1, 3),
    "Conv_1": (2, 2, 3, 4),
    "Dense_0": (16, 6),
    "Dense_1": (6, 3),
}


class Network(nn.Module):
    """Two convolutions, pooling, two dense layers."""

    use_bias: bool = True
    relu_before_pooling: bool = True

    @nn.compact
    def __call__(self, x):
        convolution = functools.partial(nn.Conv, padding="VALID", use_bias=self.use_bias)
        x = convolution(3, (3, 3))(x)
        x = nn.relu(x) if self.relu_before_pooling else x
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(convolution(4, (2, 2))(x))
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(6, use_bias=self.use_bias)(x))
        return nn.Dense(3, use_bias=self.use_bias)(x)


def weights(seed=0, use_bias=True):
    """Draw weights, as flax's tree of float32 arrays."""
    random = np.random.default_rng(seed)
    tree = {}
    for name, shape in SHAPES.items():
        fan_in = np.prod(shape[:-1])
        tree[name] = {"kernel": random.normal(size=shape) / np.sqrt(fan_in)}
        if use_bias:
            tree[name]["bias"] = 0.1 * random.normal(size=shape[-1])
    return jax.tree.map(lambda a: a.astype(np.float32), tree)


def image(seed=1):
    """Draw an image."""
    return np.random.default_rng(seed).uniform(size=(8, 8, 1)).astype(np.float32)


def score(params, output=1, **options):
    """Give the function of one image that is the network's output."""
    params = jax.tree.map(jnp.asarray, params)
    model = Network(use_bias="bias" in params["Dense_0"], **options)
    return lambda x: jnp.asarray(model.apply({"params": params}, x[None]))[0, output]


def patches(x, size):
    """Cut out the (rows, columns, size * size * channels) a convolution looks at."""
    rows, columns = (n - size + 1 for n in x.shape[:2])
    return np.array(
        [[x[i : i + size, j : j + size].ravel() for j in range(columns)] for i in range(rows)]
    )


def unpatch(p, size, shape):
    """Add them up where they came from."""
    x = np.zeros(shape)
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            x[i : i + size, j : j + size] += p[i, j].reshape(size, size, -1)
    return x


def pool(x):
    """Give the maxima of 2 x 2 windows."""
    rows, columns, channels = x.shape
    return x.reshape(rows // 2, 2, columns // 2, 2, channels).max((1, 3))


def unpool(r, x):
    """Put each number where the maximum of its window is, the first if there are several."""
    out = np.zeros(x.shape)
    for i, j, c in np.ndindex(r.shape):
        window = x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        a, b = np.unravel_index(window.argmax(), (2, 2))
        out[2 * i + a, 2 * j + b, c] = r[i, j, c]
    return out


def forward(params, x):
    """Give the input of each layer and each layer's output before its ReLU, by name."""
    inputs, outputs = {}, {}
    for name, shape in SHAPES.items():
        kernel = np.float64(params[name]["kernel"])
        inputs[name] = x = x.reshape(-1) if name == "Dense_0" else x
        rows = patches(x, shape[0]) if name.startswith("Conv") else x
        z = rows @ kernel.reshape(-1, shape[-1]) + params[name].get("bias", 0)
        outputs[name] = z
        x = np.maximum(z, 0)
        if name == "Conv_0":
            x = pool(x)
    return inputs, outputs


def backward(params, x, relu, layer, start):
    """Go back: ``relu(z, r)`` and ``layer(name, rows, matrix, z, r)`` are the rules.

    A layer's rule sees rows (..., inputs), its matrix (inputs, outputs), z and r (..., outputs).
    """
    inputs, outputs = forward(params, np.float64(x))
    r = start
    for name, shape in reversed(SHAPES.items()):
        z = outputs[name]
        if name == "Conv_0":
            r = unpool(r, np.maximum(z, 0))
        r = r.reshape(z.shape)
        if name != "Dense_1":
            r = relu(z, r)
        matrix = np.float64(params[name]["kernel"]).reshape(-1, shape[-1])
        if name.startswith("Conv"):
            rows = patches(inputs[name], shape[0])
            r = unpatch(layer(name, rows, matrix, z, r), shape[0], inputs[name].shape)
        else:
            r = layer(name, inputs[name], matrix, z, r)
        if name == "Dense_0":
            r = r.reshape(outputs["Conv_1"].shape)
    return r


def torch_network(params):
    """Make the same network in torch, of images (1, 8, 8)."""
    import torch

    def filled(layer, weight, params):
        bias = params.get("bias", np.zeros(len(weight), np.float32))
        layer.load_state_dict({"weight": torch.tensor(weight.copy()), "bias": torch.tensor(bias)})
        return layer

    def conv(name):
        kernel = params[name]["kernel"]
        layer = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], kernel.shape[0])
        return filled(layer, kernel.transpose(3, 2, 0, 1), params[name])

    def dense(name):
        kernel = params[name]["kernel"]
        if name == "Dense_0":  # flax flattens (2, 2, 4) rows first, torch channels first
            kernel = kernel.reshape(2, 2, 4, -1).transpose(2, 0, 1, 3).reshape(16, -1)
        layer = torch.nn.Linear(*kernel.shape)
        return filled(layer, kernel.T, params[name])

    return torch.nn.Sequential(
        conv("Conv_0"),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        conv("Conv_1"),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        dense("Dense_0"),
        torch.nn.ReLU(),
        dense("Dense_1"),
    )


def to_torch(x):
    """Turn images (..., 8, 8, 1) into torch's (n, 1, 8, 8)."""
    import torch

    return torch.tensor(np.asarray(x, np.float32).reshape(-1, 1, 8, 8))
