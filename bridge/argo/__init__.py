"""The Argo Server's REST API: requests, answers and what they mean, manifests, the watch.

The only imports of requests and urllib3 (single requests, each waited for) and of pycurl (creates and the watch).
"""
