"""The message interface: topics, message bodies, replies. Pure; knows no broker and no Argo client."""
