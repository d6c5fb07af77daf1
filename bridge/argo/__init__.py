"""The Argo Server's REST API: requests, responses and their meaning, manifests, the watch.

The only imports of pycurl (the running bridge) and of requests (`direct`: interactive commands).
"""
