"""The published experiments on surrogate neurons (Olah et al. 2022), figure by figure."""
