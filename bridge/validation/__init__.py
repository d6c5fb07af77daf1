"""Checks workflows against JSON Schemas made from Argo's own field reference, and against what no schema can say.

`field_reference` and `reference_page` read Argo's reference, `corrections` declares where it is wrong or silent,
`generator` makes the schema; `library` keeps the schemas of the known releases, `validator` decides and explains;
`semantics` and `names` hold the rules beyond shape. Talks to nobody and stores nothing.
"""
