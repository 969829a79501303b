"""``topology.yaml``, the single description of an installation: from YAML to a validated model."""
