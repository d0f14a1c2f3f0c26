"""Train an MLP on digits in a run's folder, resuming if it is there: ``killable.py FOLDER``."""

import sys
import time
from pathlib import Path

import jax

from jaxnn import data, models, train
from jaxnn.train import losses, optimizers

STEPS = 6000
METRICS = {"loss": losses.cross_entropy, "accuracy": losses.accuracy}


def new_state():
    """Everything that a resume could lose: dropout, moments, an average."""
    model = models.MLP((16, 10), dropout_rate=0.2)
    tx = optimizers.warmup_cosine_adamw(1e-2, steps=STEPS)
    example = data.load("digits").train.x[:2]
    return train.create_state(model, tx, example, key=jax.random.key(0), ema_decay=0.99)


def main(folder):
    """Train to the end, from the newest checkpoint if there is one."""
    exists = (folder / "config.json").is_file()
    run = train.open_run(folder) if exists else train.create_run(folder, {"steps": STEPS})
    digits = data.load("digits")
    step = train.make_step(losses.cross_entropy, metrics={"accuracy": losses.accuracy})
    with run.locked():
        checkpoints = run.open_checkpoints(keep=2)
        state = new_state()
        state, position = checkpoints.restore(state) or (state, train.Position())
        run.rewrite(position.history)
        if int(state.step) < STEPS:
            train.fit(
                state,
                step,
                digits.train,
                steps=STEPS,
                batch_size=32,
                record_every=70,  # not in step with the checkpoints, so that sums are part full
                evaluation=digits.test,
                evaluation_metrics=METRICS,
                evaluate_every=900,
                checkpoints=checkpoints,
                checkpoint_every=500,
                position=position,
                # A little time between records, so that a kill finds its moment.
                on_record=[run.append, lambda record: time.sleep(0.005)],
                progress=False,
            )
        checkpoints.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
