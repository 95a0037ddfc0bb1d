"""Sub-commands of the core, one file a verb. Importing one loads typer and the standard library only."""
