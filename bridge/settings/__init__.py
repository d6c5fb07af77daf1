"""bridge.yaml and the environment as one frozen `Settings`.

`model` declares the keys, `loading` reads them, `environment` adds variables, `checks` compares keys with each other.
Makes no network connection; reads no secret except ARGO_TOKEN.
"""
