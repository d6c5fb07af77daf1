"""The path of a message: ingest, dispatch, replies. Communicates with status only through spool rows and callbacks."""
