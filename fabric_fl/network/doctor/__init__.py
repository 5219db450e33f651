"""What is the matter with a network, and what to do about it."""

from fabric_fl.network.doctor.examination import Check, examine
from fabric_fl.network.doctor.finding import Finding

__all__ = ["Check", "Finding", "examine"]
