"""The message interface: topics, message bodies, replies. Pure; speaks of no broker and no Argo client."""
