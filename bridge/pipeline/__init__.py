"""The way of a message: ingest, dispatch, replies. Meets status only through spool rows and callbacks."""
