"""The demo: its stage (an embedded broker, a simulated Argo Server, a bridge), its sensors and its display."""
