"""Configuration files as trees with positions, and the declaration of every key they may have.

`source` reads YAML (the only import of yaml), `nodes` is what it reads into, `kinds` and `fields` declare keys,
`reference` derives JSON Schemas and tables from them, `problems` is what can be wrong. Knows no key of the product.
"""
