"""Mistakes on the command line become one line that names them."""

import pytest

from jaxnn.cli._parse import UsageError, _first_message
from jaxnn.cli._train import parse_train


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["mpl", "digits"], "unknown model 'mpl'; the models are mlp, vit, spiking, kan"),
        (["mlp", "digits", "--steps", "x"], r"--steps: invalid .* 'x' \(see jaxnn train mlp"),
        (["mlp", "digits", "--hiden", "3"], "--hiden.*did you mean --hidden"),
        (["mlp"], "DATA"),
        (["mlp", "digits", "--activation", "q"], "'q' for argument '--activation'"),
    ],
)
def test_a_mistake_is_one_line(argv, match):
    with pytest.raises(UsageError, match=match) as caught:
        parse_train(argv)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["mlp", "vit", "spiking", "kan"])
def test_every_model_parses_with_its_own_defaults(name):
    parsed, options = parse_train([name, "digits", "--seed", "3"])
    assert parsed == name
    assert options.data == "digits"
    assert options.training.seed == 3


def test_both_box_styles_are_read():
    unicode_box = "╭─ Value error ─╮\n│ Error parsing --n: 'x' │\n│ ───── │\n│ help │\n╰───╯\n"
    ascii_box = " Value error\n -----\n Error parsing --n: 'x'\n -----\n help\n"
    assert _first_message(unicode_box) == _first_message(ascii_box) == "Error parsing --n: 'x'"
