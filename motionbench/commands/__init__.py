"""Sub-commands of the hub, one file a verb. Importing one loads typer and the standard library only."""
