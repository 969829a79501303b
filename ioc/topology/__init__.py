"""``topology.yaml``: the one description of an installation, from YAML to a validated model."""
