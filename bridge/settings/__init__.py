"""bridge.yaml and the environment as one frozen `Settings`.

`model` declares the keys, `loading` reads them, `environment` brings in variables, `checks` looks between the keys.
Connects to nothing; reads no secret but ARGO_TOKEN.
"""
