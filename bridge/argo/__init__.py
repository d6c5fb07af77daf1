"""The Argo Server's REST API: requests, answers and what they mean, manifests, the watch. The only import of pycurl."""
