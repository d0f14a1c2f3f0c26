"""Claims of spiking layers and of what trains them."""
