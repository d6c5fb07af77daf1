"""The Argo Server's REST API: requests, answers and what they mean, manifests, the watch.

The only imports of pycurl (the running bridge) and of requests (`direct`: commands that ask while a person waits).
"""
