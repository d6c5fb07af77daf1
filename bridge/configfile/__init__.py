"""Configuration files as trees with positions, and the declarations of their keys.

`source` reads the bridge's own YAML, `kubernetes_yaml` reads manifests, both with `trees`; `nodes` is the resulting
tree. `kinds` and `fields` declare keys, `problems` collects errors. The only import of yaml. Knows no key of the
product.
"""
