"""The neurons again, as NumPy loops in float64 over (time, units), from their definitions."""

import numpy as np


def subtract(u, s, theta):
    return u - theta * s


def zero(u, s, theta):
    return np.where(s > 0, 0.0, u)


def none(u, s, theta):
    return u


def leaky(drive, decay, threshold=1.0, reset=subtract):
    v, spikes, potentials = np.zeros(drive.shape[1]), [], []
    for i in drive:
        u = decay * v + i
        s = (u > threshold).astype(float)
        v = reset(u, s, threshold)
        spikes.append(s)
        potentials.append(v)
    return np.array(spikes), np.array(potentials)


def synaptic(drive, current_decay, decay, threshold=1.0, reset=subtract):
    current = v = np.zeros(drive.shape[1])
    spikes = []
    for i in drive:
        current = current_decay * current + i
        u = decay * v + current
        s = (u > threshold).astype(float)
        v = reset(u, s, threshold)
        spikes.append(s)
    return np.array(spikes), current, v


def adaptive(drive, decay, rho, beta, threshold=1.0, reset=subtract):
    v = a = np.zeros(drive.shape[1])
    spikes = []
    for i in drive:
        u = decay * v + i
        s = (u > threshold + beta * a).astype(float)
        v = reset(u, s, threshold)
        a = rho * a + s
        spikes.append(s)
    return np.array(spikes), v, a
