"""Checks workflows against JSON Schemas made from Argo's field reference, and against rules that no schema can express.

`field_reference` and `reference_page` parse Argo's reference, `corrections` declares its mistakes and gaps, `generator`
makes the schema; `library` holds the schemas of the known releases, `validator` decides and explains; `semantics` and
`names` have the rules beyond structure. No I/O except reading schemas.
"""
