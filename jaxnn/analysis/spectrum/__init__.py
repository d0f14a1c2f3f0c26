"""How fine the detail of feature maps is: their spectra over the places.

``fourier_log_amplitude``, relative to the mean, tells which frequencies layers keep, as in "How Do
Vision Transformers Work?" (2022) and "Spiking Neural Networks Need High Frequency Information"
(2025); ``high_frequency_fraction`` makes one number of it, the share of a map's variance above a
frequency.
"""

from jaxnn.analysis.spectrum._fourier import fourier_log_amplitude as fourier_log_amplitude
from jaxnn.analysis.spectrum._fourier import high_frequency_fraction as high_frequency_fraction

__all__ = ["fourier_log_amplitude", "high_frequency_fraction"]
