"""Configuration files as trees with positions, and the declaration of every key they may have.

`source` reads the bridge's own YAML, `kubernetes_yaml` manifests, both by `trees`; `nodes` is what they read into.
`kinds` and `fields` declare keys, `reference` derives JSON Schemas and tables from them, `problems` is what can be
wrong. The only import of yaml. Knows no key of the product.
"""
